"""The thread that owns the device: it samples at once what has come, and what comes meanwhile goes together next."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Condition, Thread

from core import tracing
from core.errors import FewstepError
from worker.sampling import metrics
from worker.sampling.batcher import Group, Job, Piece, Run, Schedule, run_batch

LEAD_S = 0.002
"""So long before a batch is expected to end, what comes next should be fetched."""


@dataclass(frozen=True)
class Batch:
    """One that is sampled, or was.

    Attributes:
        number: How many there were before it.
        group: Of its images.
        requests: Number of jobs that it has images of.
        images: Number of its images.
        until: By the monotonic clock, when it is expected to end, or ended.
        lets_pass: Whether interactive images go first between two of its steps.
    """

    number: int
    group: Group
    requests: int
    images: int
    until: float
    lets_pass: bool = False


class Device:
    """Takes jobs from any thread; a context manager that starts the thread and ends it when it has no more work."""

    def __init__(
        self,
        run: Run,
        *,
        ended: Callable[[list[Job]], None] = lambda _: None,
        estimate: Callable[[Group, int], float] = lambda *_: 0.0,
        lets_pass: Callable[[Group], bool] = lambda _: False,
    ) -> None:
        """Nothing runs yet.

        Args:
            run: Samples images.
            ended: Told of jobs that ended, those of a batch together, each once; in the thread of the device.
            estimate: Seconds that so many images of a group take, or 0.
            lets_pass: Whether interactive images go first between two steps of a group.
        """
        self._run = run
        self._ended = ended
        self._estimate = estimate
        self._lets_pass = lets_pass
        self._schedule = Schedule()
        self._changed = Condition()
        self._closing = False
        self._batches = 0
        self._now: Batch | None = None
        self.last: Batch | None = None
        self._thread = Thread(target=self._work, name="device", daemon=True)

    def __enter__(self) -> "Device":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def submit(self, *jobs: Job) -> None:
        """Let jobs take their turns; those that come together can be sampled together."""
        with self._changed:
            if self._closing:
                raise FewstepError("this worker is stopping")
            for job in jobs:
                self._schedule.add(job)
            self._changed.notify_all()
            metrics.WAITING.set(len(self._schedule))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._now is None and not len(self._schedule)

    @property
    def lets_pass(self) -> bool:
        """Whether interactive images would be sampled at once, amid a long batch."""
        return self._now is not None and self._now.lets_pass

    def images_not_begun(self, *, bulk: bool) -> int:
        """Of the interactive or the bulk jobs that wait for their first turn."""
        with self._changed:
            return self._schedule.images_not_begun(bulk=bulk)

    def wait_until_wanting(self, after: int) -> int:
        """Return when there is nothing to do, or another batch than ``after`` is about to end and none can follow.

        Returns the number of the latest batch.
        """
        with self._changed:
            while not self._closing and (self._now is not None or len(self._schedule)):
                left = None
                ahead = 0 if self._now is None else self._now.number - after or int(self._now.lets_pass)
                if self._now is not None and ahead and not self._schedule.images_not_begun(bulk=False):
                    # One that ended before it was expected to was missed, and is made up for.
                    left = 0.0 if ahead > 1 else self._now.until - LEAD_S - time.monotonic()
                    if left <= 0:
                        break
                self._changed.wait(left)
            return self._batches - 1 if self._now is None else self._now.number

    def wait_until_idle(self) -> None:
        """Return when there is nothing to do."""
        with self._changed:
            while not self.is_idle and not self._closing:
                self._changed.wait()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not len(self._schedule) and not self._closing:
                    self._changed.wait()
                if not len(self._schedule):
                    return
                batch = self._schedule.next_batch()
                given_up = self._schedule.given_up()
                if batch:
                    self._begin(batch[0][0].group, len(_jobs_of(batch)), len(batch))
                metrics.WAITING.set(len(self._schedule))
            self._tell(given_up)
            if batch:
                requests = (job.trace for job, _ in batch)
                with tracing.span("batch", parent=batch[0][0].trace, links=requests, images=len(batch)):
                    run_batch(batch, self._run, self._let_pass)
                self._tell(_jobs_of(batch))
            with self._changed:
                if self._now is not None:
                    self.last = replace(self._now, until=time.monotonic())
                    self._now = None
                self._changed.notify_all()

    def _begin(self, group: Group, jobs: int, images: int) -> None:
        lets_pass = self._lets_pass(group)
        until = time.monotonic() + (0.0 if lets_pass else self._estimate(group, images))
        self._now = Batch(self._batches, group, jobs, images, until, lets_pass)
        self._batches += 1
        self._changed.notify_all()

    def _let_pass(self) -> None:
        """Between two steps of bulk images: sample first whatever interactive ones have come."""
        while True:
            with self._changed:
                batch = self._schedule.next_batch(bulk=False)
                self._changed.notify_all()
                given_up = self._schedule.given_up()
                metrics.WAITING.set(len(self._schedule))
            self._tell(given_up)
            if not batch:
                return
            run_batch(batch, self._run)
            self._tell(_jobs_of(batch))

    def _tell(self, jobs: Iterable[Job]) -> None:
        ended = [job for job in jobs if job.done.done() and not job.told]
        for job in ended:
            job.told = True
        if ended:
            self._ended(ended)


def _jobs_of(batch: Sequence[Piece]) -> list[Job]:
    """Each once."""
    return list(dict.fromkeys(job for job, _ in batch))
