import subprocess
import sys

LOOKED_AT = (
    "import gc, weakref, app.main;"
    "from core.machine.garbage import spare_what_is_imported;"
    "before = len(gc.get_objects());"
    "spare_what_is_imported();"
    "after = len(gc.get_objects());"
    "assert before > 50_000 and after < before / 100, (before, after);"
    "Loaded = type('Loaded', (), {});"
    "one = Loaded(); one.itself = one;"
    "gone = weakref.ref(one);"
    "del one;"
    "gc.collect();"
    "assert gone() is None"
)


def test_only_what_came_later_is_looked_at_and_freed() -> None:
    subprocess.run([sys.executable, "-c", LOOKED_AT], check=True)


def test_while_modules_are_imported_nothing_is_looked_for() -> None:
    """In another process, since what is there is never looked at again."""
    program = (
        "import gc;"
        "from core.machine.garbage import importing;"
        "before = gc.get_stats();"
        "context = importing(); context.__enter__(); import pydantic, redis;"
        "assert gc.get_stats() == before;"
        "context.__exit__(None, None, None);"
        "assert gc.isenabled() and gc.get_freeze_count() > 10_000"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
