"""Run a command so that it cannot outlive whoever started it.

``python -m core.local.parent_death SIGNAL LOCK COMMAND…`` becomes the command (same process id, so signals reach it),
after two preparations that survive ``exec``:

- on Linux the kernel sends it ``SIGNAL`` when its parent dies, even by SIGKILL, so that nothing is orphaned;
- everywhere it holds a shared lock on the file ``LOCK`` for as long as it lives, so that the next start can tell that
  something of the last one still runs, without trusting a process id in a file.
"""

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import FewstepError

PR_SET_PDEATHSIG = 1
SECONDS_FOR_EARLIER_RUN = 15


def tied_to_parent(command: list[str], *, lock: Path, on_orphaned: signal.Signals) -> list[str]:
    """The command line that runs ``command`` tied to its parent."""
    return [sys.executable, "-m", "core.local.parent_death", on_orphaned.name, str(lock), *command]


@contextmanager
def only_run(lock: Path) -> Iterator[None]:
    """Hold ``lock`` shared with the processes started here, having made sure that nothing of another run does.

    What a killed run left behind is given some seconds to go.

    Raises:
        FewstepError: Another run holds it.
    """
    with lock.open("a+") as file:
        deadline = time.monotonic() + SECONDS_FOR_EARLIER_RUN
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            file.seek(0)
            if is_alive(other := int(file.read() or 0)):
                raise FewstepError(f"already running from this folder; stop it with Ctrl-C there or `kill {other}`")
            if time.monotonic() > deadline:
                raise FewstepError(f"an earlier run's processes still live; `lsof {lock}` lists them")
            time.sleep(0.2)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_alive(pid: int) -> bool:
    """Whether there is a process ``pid``."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def main() -> None:
    """Become the command; exits with 1 and one line when it cannot be run."""
    signal_name, lock, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.Signals[signal_name].value)
    held = os.open(lock, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    os.set_inheritable(held, True)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
