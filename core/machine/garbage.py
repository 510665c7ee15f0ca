"""What the garbage collector of a process that serves has to look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while modules are imported, and never at what they leave: there is none, and it takes time.

    Of torch and all that a worker samples with, an eighth of the whole.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def spare_what_is_imported() -> None:
    """Let no later collection look at what is there now; called once modules are imported, before models are loaded.

    They stay to the end, and to look at all of them takes 60 ms in an API, twice a second under load, while nobody is
    served. What was not imported in ``importing``, as where another program serves the application, is spared so.
    """
    gc.collect()
    gc.freeze()
