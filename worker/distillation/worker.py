"""The distillation worker: Celery hands it slices of jobs, a child process trains them."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from celery import Celery
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from core import presence
from core.broker import make_celery
from core.catalog.artifacts import open_artifacts
from core.connections import connect
from core.jobs.store import JobStore
from core.log import get_logger
from core.queues import Queue, Task
from core.settings import Settings
from worker.child import Child, ChildDied
from worker.device_metrics import DeviceMetrics, pick_meter
from worker.distillation.data_folder import DataFolder
from worker.distillation.metrics import LEASE_LOSSES, SLICES, Board
from worker.distillation.sweep import JobSweep
from worker.heartbeat import Heartbeat, Pulse
from worker.intake import send_lost_again
from worker.request import INTAKE, ForgivingRequest

SURELY_HUNG_S = 3.0
"""How long a lease must be seen to have run out."""
IDLE_AFTER_S = 5.0
"""Between two slices of a job there may be less."""
KEEP_CHILD_S = 15.0
"""After the last job, since a next one, begun at once, saves the seconds in which torch is imported."""

log = get_logger(__name__)


def make_slice_runner(*arguments: object) -> object:
    """As of ``worker.distillation.slices``, which is imported in the child alone: the worker has no use for torch."""
    from worker.distillation import slices

    return slices.make_slice_runner(*arguments)  # type: ignore[arg-type]


class Foreman:
    """Has slices done by a child process, and says what became of a job whose slice ended that process."""

    def __init__(self, settings: Settings, store: JobStore, celery: Celery, name: str, pulse: Pulse) -> None:
        self._store, self._celery, self._name, self._pulse = store, celery, name, pulse
        self._expired_since: float | None = None
        self._board = Board()
        self._idle_since: float | None = None
        self._child = Child(make_slice_runner, settings, name, on_message=self._board.show)  # type: ignore[arg-type]
        self._in_use = threading.Lock()  # the child

    def work(self, job_id: str, after: int) -> None:
        """Have the slice done that comes after the fence ``after``, and queue the next."""
        following: int | None
        self._idle_since = None
        self._board.begin(job_id)
        try:
            with self._in_use:
                following = self._child.call(job_id, after, is_hung=lambda: self._is_hung(job_id, after))
        except ChildDied as death:
            record = self._store.read(job_id)
            SLICES.labels("died").inc()
            words = str(death)
            if record is not None:
                words += f", in round {record.round + 1} after iteration {record.iteration}"
            following = self._store.abandon(job_id, self._name, words)
            log.error("slice died", job=job_id, detail=words)
        finally:
            self._idle_since = time.monotonic()
        if following is not None:
            send_slice(self._celery, job_id, following)
            return
        self._board.clear()

    def tidy(self, store: JobStore) -> None:
        """Without a slice for a while no job is in hand any more: the next slice went to another worker.

        And without any job the memory of the device is given back. Called from another thread than ``work``, with a
        store that does not wait for Redis.
        """
        idle_since = self._idle_since
        idle_s = 0.0 if idle_since is None else time.monotonic() - idle_since
        if idle_s > IDLE_AFTER_S:
            self._board.clear()
        is_kept = bool(self._child.pids) and idle_s > KEEP_CHILD_S
        if is_kept and not store.active() and self._in_use.acquire(blocking=False):
            try:
                self._child.close()
            finally:
                self._in_use.release()

    def pids(self) -> list[int]:
        """Of this process and the one that trains."""
        return [os.getpid(), *self._child.pids]

    def drain(self) -> None:
        """Let the slice under way end after its next iteration; safe to call in a signal handler."""
        self._child.drain()

    def close(self) -> None:
        """End the child process, which is doing nothing."""
        with self._in_use:  # unless it is being ended
            self._child.close()

    def _is_hung(self, job_id: str, after: int) -> bool:
        """Whether the slice under way has come to nothing: its lease has run out, or another has the job by now.

        A lease that ran out while Redis refused what is written proves nothing: the slice waits for that too, and
        renews it within a second or two of the cure.
        """
        with suppress(RedisError):  # nothing is known then
            record = self._store.read(job_id)
            if record is None or record.fence > after + 1:
                LEASE_LOSSES.inc()
                return True
            mine = record.worker == self._name and record.fence == after + 1
            if mine and 0 < record.lease < self._store.now() and self._pulse.is_regular():
                self._expired_since = self._expired_since or time.monotonic()
                return time.monotonic() - self._expired_since > SURELY_HUNG_S
        self._expired_since = None
        return False


def send_slice(celery: Celery, job_id: str, after: int) -> None:
    """Queue the slice of a job that comes after the fence; if that fails, the sweep will."""
    try:
        celery.send_task(Task.DISTILL, args=[job_id, after])
    except OperationalError as error:
        log.warning("next slice not queued", job=job_id, error=str(error))


def make_distillation_worker(
    settings: Settings, name: str, pulse: Pulse, *, also: Callable[[], None] = lambda: None
) -> tuple[Celery, Heartbeat, Foreman]:
    """The Celery application with its task, and the heartbeat to start once it consumes, which ``also`` does that."""
    celery = make_celery(settings, transport=INTAKE)
    store = JobStore(connect(settings))
    foreman = Foreman(settings, store, celery, name, pulse)
    REGISTRY.register(DeviceMetrics(*pick_meter(settings.device, foreman.pids)))

    @celery.task(name=Task.DISTILL, Request=ForgivingRequest)
    def distill_task(job_id: str, after: int) -> None:
        foreman.work(job_id, after)

    # Beats must fail rather than wait for Redis, so that the next one is not late.
    beats = connect(settings, patient=False)
    jobs = JobStore(beats)
    sweep = JobSweep(jobs, celery, open_artifacts(settings), settings=settings)
    data_folder = DataFolder(beats, settings.datasets)

    def chore(_after_trouble: bool) -> None:
        foreman.tidy(jobs)
        send_lost_again(celery)
        sweep()
        data_folder.tell()
        also()

    facts = {"host": presence.host(), "device": settings.device}
    heartbeat = Heartbeat(
        beats, Queue.DISTILLATION, name, facts, interval_s=settings.heartbeat_s, pulse=pulse, chore=chore
    )
    return celery, heartbeat, foreman
