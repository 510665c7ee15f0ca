"""A worker that has an accident: ``python -m tests.e2e.saboteur distillation``, with what happens in ``SABOTAGE``.

The child process of the worker imports this module too, and so has the accident as well. Those that happen ``once``
leave a mark in the folder ``FEWSTEP_VAR``: ``MARK``.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.jobs.store import JobStore
from worker.distillation.watch import Watch
from worker.process import main
from worker.uploads.inspector import Inspector

ACCIDENT = os.environ["SABOTAGE"]
MARK = Path(os.environ["FEWSTEP_VAR"], "accident")


def once() -> bool:
    """True the first time of asking."""
    if MARK.exists():
        return False
    MARK.parent.mkdir(parents=True, exist_ok=True)
    MARK.touch()
    return True


def kill_all_before_release(store: JobStore, job_id: str, fence: int) -> bool:
    """The state is saved, the message is not acknowledged."""
    if once():
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return RELEASE(store, job_id, fence)


def die_or_hang(method: Callable[..., None]) -> Callable[..., None]:
    """In jobs with such a name as if memory ran out, in another once as a deadlock, which its lease soon shows."""

    def instead(watch: Watch, *arguments: Any) -> None:  # noqa: ANN401
        if watch._record.job.name.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        if once():
            watch._store.tell(watch._record.job.id, watch.fence, lease_s=0.1)
            time.sleep(1000)
        method(watch, *arguments)

    return instead


def pause(watch: Watch) -> None:
    """In the middle of a slice of the second round, until the mark is removed or the worker is to stop."""
    if watch.at[0] == 1 and once():
        while MARK.exists() and not watch._is_draining():
            time.sleep(0.01)
        MARK.touch()  # not again
    BEAT(watch)


def pause_in_training(watch: Watch) -> None:
    """In the middle of a slice that is not the first, as ``pause``."""
    if watch.fence > 1 and watch.at[1] and once():
        while MARK.exists() and not watch._is_draining():
            time.sleep(0.01)
        MARK.touch()
    BEAT(watch)


def die_in_each_kind(watch: Watch) -> None:
    """Once in each kind, with a slice saved before and something learnt after that."""
    mark = MARK.with_name(f"{watch._record.job.kind}.accident")
    if watch.fence > 1 and watch.at[1] and not mark.exists():
        mark.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    BEAT(watch)


def die_looking(inspector: Inspector, *arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """With the first upload in hand."""
    if once():
        os.kill(os.getpid(), signal.SIGKILL)
    return LOOK(inspector, *arguments)


def freeze_before_publishing(store: JobStore, job_id: str, fence: int, *arguments: Any, **facts: Any) -> bool:  # noqa: ANN401
    """As a machine that sleeps at the worst moment, parent and child, until someone wakes the parent."""
    if once():
        os.kill(os.getppid(), signal.SIGSTOP)  # or it would see that its child hangs
        store.tell(job_id, fence, lease_s=0.1)
        os.kill(os.getpid(), signal.SIGSTOP)
    return END(store, job_id, fence, *arguments, **facts)


RELEASE, END, LOOK = JobStore.release, JobStore.end, Inspector._look
BEAT, TELL = Watch.beat, Watch._tell_progress
match ACCIDENT:
    case "kill all before release":
        JobStore.release = kill_all_before_release  # type: ignore[assignment, method-assign]
    case "die or hang":
        # Of which each iteration does one.
        Watch.beat, Watch._tell_progress = die_or_hang(BEAT), die_or_hang(TELL)  # type: ignore[method-assign]
    case "pause":
        Watch.beat = pause  # type: ignore[assignment, method-assign]
    case "pause in training":
        Watch.beat = pause_in_training  # type: ignore[assignment, method-assign]
    case "die in each kind of job and in an upload":
        Watch.beat = die_in_each_kind  # type: ignore[assignment, method-assign]
        Inspector._look = die_looking  # type: ignore[assignment, method-assign]
    case "freeze before publishing":
        JobStore.end = freeze_before_publishing  # type: ignore[assignment, method-assign]
    case _:
        sys.exit(f"no such accident: {ACCIDENT}")

if __name__ == "__main__":
    sys.exit(main())
