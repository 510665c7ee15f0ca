"""Which images are sampled together, and what follows when that fails. Knows nothing of torch, threads or Redis."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.errors import DeadlinePassed

Group = Any
"""What images must have in common to be sampled together."""
Run = Callable[[Any, Sequence[Any], Callable[[], None]], Sequence[Any]]
"""Maps a group and some of its inputs to an outcome for each input; may raise. Calls the last before each step."""


class Unwanted(Exception):  # noqa: N818
    """Nobody waits any more for what is being sampled."""


@dataclass(eq=False)
class Job:
    """Inputs of one request.

    Attributes:
        group: What it can be sampled together with.
        inputs: One for each image.
        max_batch: Most images of its group at once.
        deadline: By the monotonic clock, after which nobody wants it.
        bulk: Whether all others go before it.
        trace: The ``traceparent`` of the request.
        request: What it is for, of no concern here.
        done: The outcomes in the order of the inputs, or the error. Whoever ends it first is right: a job that is done
            is not worked on, so setting an exception cancels it.
        started: By the monotonic clock, when its first image was taken, or None.
        busy_s: Seconds that batches with images of it took.
        taken: How many of its images were.
        told: Whether it is known that it has ended.
        outcomes: By index.
        steps_begun: Steps of its images that were begun, over all of them.
    """

    group: Group
    inputs: Sequence[Any]
    max_batch: int
    deadline: float | None = None
    bulk: bool = False
    trace: str = ""
    request: Any = None
    done: Future[list[Any]] = field(default_factory=Future)
    started: float | None = None
    busy_s: float = 0.0
    steps_begun: int = 0
    taken: int = 0
    told: bool = False
    outcomes: dict[int, Any] = field(default_factory=dict)

    def end(self, error: Exception) -> None:
        """Give up; does nothing if it has ended."""
        with suppress(InvalidStateError):
            self.done.set_exception(error)


Piece = tuple[Job, int]
"""One image: its job and its index there."""


class Schedule:
    """Jobs that wait, and the order in which their images are taken.

    Jobs take turns: the first in line decides the group, and others of the group fill the batch in the order of their
    turns. A job that has images left goes to the end of the line, so that one of many images holds nobody up for longer
    than a batch. Not thread-safe.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._line: list[Job] = []
        self._given_up: list[Job] = []
        self._clock = clock

    def add(self, job: Job) -> None:
        """Let a job wait for its turn."""
        self._line.append(job)

    def __len__(self) -> int:
        return len(self._line)

    def images_not_begun(self, *, bulk: bool) -> int:
        """Of jobs none of whose images was taken, the interactive or the bulk ones."""
        return sum(len(job.inputs) for job in self._line if job.started is None and job.bulk == bulk)

    def given_up(self) -> list[Job]:
        """Jobs that left the line since the last call because they had ended."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def next_batch(self, *, bulk: bool = True) -> list[Piece]:
        """Take the images to sample next, all of one group; empty if there are none.

        Without ``bulk`` also where only bulk ones wait.
        """
        now = self._clock()
        for job in self._line:
            if job.deadline is not None and now > job.deadline:
                job.end(DeadlinePassed("the deadline passed before the images were sampled"))
        self._given_up += [job for job in self._line if job.done.done()]
        # Stable, so that turns hold among equals.
        self._line = sorted((job for job in self._line if not job.done.done()), key=lambda job: job.bulk)
        if not self._line or (self._line[0].bulk and not bulk):
            return []
        group, room = self._line[0].group, self._line[0].max_batch
        batch: list[Piece] = []
        again: list[Job] = []
        waiting: list[Job] = []
        for job in self._line:
            if job.group != group or not room:
                waiting.append(job)
                continue
            count = min(room, len(job.inputs) - job.taken)
            batch += [(job, index) for index in range(job.taken, job.taken + count)]
            room -= count
            job.taken += count
            job.started = job.started or now
            if job.taken < len(job.inputs):
                again.append(job)
        self._line = waiting + again
        return batch


def run_batch(batch: Sequence[Piece], run: Run, between_steps: Callable[[], None] = lambda: None) -> None:
    """Sample a batch and hand each job what is its own.

    ``between_steps`` is called before each step, unless nobody waits for the batch any more, which then is given up.

    A batch that fails is halved and tried again, down to single images: what is too large then fits, and an image that
    fails by itself ends its own job and no other.
    """
    batch = [(job, index) for job, index in batch if not job.done.done()]
    if not batch:
        return
    jobs = {job: None for job, _ in batch}

    def note_step() -> None:
        if all(job.done.done() for job in jobs):
            raise Unwanted
        for job, _ in batch:
            job.steps_begun += 1
        between_steps()

    started = time.perf_counter()
    try:
        outcomes = run(batch[0][0].group, [job.inputs[index] for job, index in batch], note_step)
    except Unwanted:
        return
    except Exception as error:
        if len(batch) == 1:
            batch[0][0].end(error)
            return
        half = len(batch) // 2
        run_batch(batch[:half], run, between_steps)
        run_batch(batch[half:], run, between_steps)
        return
    seconds = time.perf_counter() - started
    for job in jobs:
        job.busy_s += seconds
    for (job, index), outcome in zip(batch, outcomes, strict=True):
        job.outcomes[index] = outcome
    for job in jobs:
        if len(job.outcomes) == len(job.inputs):
            with suppress(InvalidStateError):
                job.done.set_result([job.outcomes[index] for index in range(len(job.inputs))])
