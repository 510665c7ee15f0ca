"""diffusers, imported when a test asks for a class of it: each process collects all tests, and this takes seconds."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """What diffusers has of that name."""
    if name.startswith("_"):  # pytest looks for such in whatever a file of tests imports
        raise AttributeError(name)
    import diffusers

    return getattr(diffusers, name)
