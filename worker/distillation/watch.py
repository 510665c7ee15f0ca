"""What a slice does after every iteration: renew the lease, see whether to stop, tell how far it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from core import presence
from core.catalog.artifacts import StorageAway
from core.generation import records
from core.jobs.record import JobRecord, JobState
from core.jobs.store import JobStore
from core.log import get_logger
from core.queues import Queue
from core.settings import Settings
from models.training.progress import OnProgress, Progress, StopTraining
from worker.distillation.messages import StorageIsAway, Tell, Trained, subject_of

LOOK_EVERY_S = 0.05
"""How often a slice looks whether it is still wanted, at most: after every iteration that takes so long."""
TELL_EVERY_S = 1.0
MOST_POINTS = 120
"""Points of the loss that are kept; when there are more, every second one goes."""
YIELD_S = 0.005
STORAGE_RETRY_S, STORAGE_LOOK_S, TELL_OF_STORAGE_EVERY_S = 3.0, 0.5, 60.0
"""While the artifact store is away: between two tries, between looks whether to stop, and between two who are told."""

log = get_logger(__name__)


class SliceOver(StopTraining):
    """The slice has had its time, or its worker is to stop; the job goes on in another."""


class JobCancelled(StopTraining):
    """The client wants no more of it."""


class SliceLost(Exception):  # noqa: N818 (what happened)
    """The lease is in other hands: what is done here does not count."""


class Watch:
    """The eyes and ears of one slice.

    Attributes:
        fence: Of the slice.
        history: Points of the loss: iteration, counted over all rounds, and loss.
        at: Index of the round under way, and its iterations that are done.
        trained_s: Seconds of training in it.
        subject: Of the slice's messages.
    """

    def __init__(
        self,
        store: JobStore,
        record: JobRecord,
        fence: int,
        *,
        settings: Settings,
        is_draining: Callable[[], bool],
        tell: Tell,
    ) -> None:
        self.fence = fence
        self.history = [(int(iteration), float(loss)) for iteration, loss in record.history]
        self.at = (record.round, record.iteration)
        self.trained_s = record.trained_s
        self.subject = subject_of(record.job)
        self._store, self._record, self._settings = store, record, settings
        self._is_draining = is_draining
        self._tell = tell
        self._counted: int | None = None  # iterations of the round that messages told of
        self._started: float | None = None
        self._looked = self._told = time.monotonic()
        self._iteration_began = time.monotonic()
        self._told_of_storage = float("-inf")
        self._told_at = 0  # iteration; 0 before the first of a round
        self._shares_device = shares_device(store, settings)

    @property
    def is_over(self) -> bool:
        """Whether the slice has had its time."""
        spent = time.monotonic() - self._started if self._started else 0
        return spent > self._settings.slice_s or self._is_draining()

    def beat(self) -> None:
        """Say that there is progress, whatever of.

        Raises:
            SliceLost: The lease is in other hands.
            JobCancelled: Cancelled.
            SliceOver: The worker is to stop.
        """
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self.tell()
        if self._is_draining():
            raise SliceOver

    def tell(self, kind: str = "", data: dict[str, Any] | None = None, **fields: Any) -> None:  # noqa: ANN401
        """Renew the lease and write to the record; raises as ``beat``."""
        lease_s = self._settings.lease_s
        state = self._store.tell(self._record.job.id, self.fence, lease_s=lease_s, kind=kind, data=data, **fields)
        self._looked = time.monotonic()
        if state is None:
            raise SliceLost
        if state is JobState.CANCELLING:
            raise JobCancelled

    def wait_for_storage(self, away: StorageAway) -> None:
        """Wait between two tries to reach the artifact store, and keep the lease; raises as ``beat``."""
        if time.monotonic() - self._told_of_storage > TELL_OF_STORAGE_EVERY_S:
            self._told_of_storage = time.monotonic()
            log.warning("waits for the artifact store", detail=away.detail, exc_info=away.__cause__)
            self.tell("waiting", {"detail": away.detail})
            self._tell(StorageIsAway(self.subject))
        until = time.monotonic() + STORAGE_RETRY_S
        while time.monotonic() < until:
            time.sleep(STORAGE_LOOK_S)
            self.beat()

    @contextmanager
    def of(self, index: int) -> Iterator[OnProgress]:
        """The callback of a round's iterations."""
        self._told_at = 0
        self._iteration_began = time.monotonic()
        self._started = self._started or self._iteration_began  # loading does not count

        begun, before = self._iteration_began, self.trained_s
        self._counted = None

        def on_progress(progress: Progress) -> None:
            self.at = (index, progress.iteration)
            self.trained_s = before + time.monotonic() - begun
            if self._counted is None:
                self._counted = progress.iteration - 1
            if time.monotonic() - self._told > TELL_EVERY_S or progress.iteration == progress.iterations:
                self._tell_progress(index, progress)
            else:
                self.beat()
            if self.is_over and progress.iteration < progress.iterations:
                raise SliceOver
            self._let_sampling_go_first()

        try:
            yield on_progress
        finally:
            if self._counted not in (None, self.at[1]):
                self._tell_iterations()

    def _tell_progress(self, index: int, progress: Progress) -> None:
        now = time.monotonic()
        loss, gradient_norm = progress.loss.item(), progress.gradient_norm.item()
        rate = (progress.iteration - self._told_at) / (now - self._told) if self._told_at else None
        self.history.append((self._done(), loss))
        if len(self.history) > MOST_POINTS:
            self.history = self.history[::2]
        self._told, self._told_at = now, progress.iteration
        facts = {"round": index + 1, "iteration": progress.iteration, "iterations": progress.iterations, "loss": loss}
        told = {"loss": loss, "history": self.history} | ({} if rate is None else {"rate": rate})
        event = facts | {"iterations_per_second": rate}
        self._tell_iterations(rate=rate, loss=loss, gradient_norm=gradient_norm)
        self.tell("progress", event, round=index, iteration=progress.iteration, **told)

    def _done(self) -> int:
        """Iterations of all rounds."""
        index, iteration = self.at
        return sum(self._record.job.iterations_of(earlier) for earlier in range(index)) + iteration

    def _tell_iterations(self, **measured: float | None) -> None:
        """Say how far it is, and what was measured there."""
        job, (index, iteration) = self._record.job, self.at
        total = sum(job.iterations_of(each) for each in range(len(job.rounds)))
        new = iteration - (self._counted or 0)
        self._counted = iteration
        self._tell(Trained(self.subject, job.rounds[index], new, self._done(), total, **measured))

    def _let_sampling_go_first(self) -> None:
        """Wait while there is sampling on the same device, for as long as the iteration took at most: not to starve."""
        ended = time.monotonic()
        patience = ended - self._iteration_began
        while self._shares_device and time.monotonic() - ended < patience and is_sampling(self._store):
            time.sleep(YIELD_S)
        self._iteration_began = time.monotonic()


def shares_device(store: JobStore, settings: Settings) -> bool:
    """Whether a sampling worker runs on the machine and the kind of device that this process trains on."""
    from models.sampling.engine import pick_device

    mine = (presence.host(), pick_device(settings.device).type)
    peers = presence.facts(store.redis, Queue.SAMPLING)
    return any((peer.get("host"), str(peer.get("device")).partition(":")[0]) == mine for peer in peers)


def is_sampling(store: JobStore) -> bool:
    """Whether a request waits to be sampled, or is."""
    with store.redis.pipeline(transaction=False) as pipe:
        pipe.zcard(records.QUEUED)
        pipe.zcard(records.QUEUED_BULK)
        pipe.hlen(records.RUNNING)
        return any(pipe.execute())
