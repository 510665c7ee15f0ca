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
