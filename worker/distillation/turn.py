"""One turn at a job, whatever it makes: where its files are, and how what was done is saved and told."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from core.catalog.artifacts import ArtifactStore
from core.catalog.serving import Made, MadeClassifier, Promotion
from core.jobs.record import Job, JobRecord
from core.jobs.references import RoundResult
from core.jobs.removal import remove_or_discard
from core.jobs.store import JobStore
from core.log import get_logger
from core.settings import Settings
from worker.distillation.messages import RoundFinished, Tell
from worker.distillation.watch import SliceLost, SliceOver, Watch

log = get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What is listed from the success of a job on: by ``family/checkpoint``, by ``family/steps``, by name."""

    made: Mapping[str, Made] = field(default_factory=dict)
    promotions: Mapping[str, Promotion] = field(default_factory=dict)
    classifiers: Mapping[str, MadeClassifier] = field(default_factory=dict)


class Work(Protocol):
    """A job with all that it needs loaded."""

    @property
    def about(self) -> str:
        """What it learns from, in a line."""

    def do(self, turn: "Turn") -> list[RoundResult]:
        """Train until all rounds are finished; raises when the turn is over before."""

    def outcome(self, turn: "Turn", results: list[RoundResult]) -> Outcome:
        """What they come to."""


@dataclass
class SliceContext:
    """What a process works with, and what it has loaded for the job it was on last."""

    settings: Settings
    store: JobStore
    artifacts: ArtifactStore
    worker: str
    is_draining: Callable[[], bool]
    tell: Tell
    loaded: dict[str, Work] = field(default_factory=dict)


class Turn:
    """The files, the record and the watch of one slice."""

    def __init__(self, context: SliceContext, record: JobRecord, watch: Watch) -> None:
        self.settings, self.store, self.artifacts = context.settings, context.store, context.artifacts
        self.record, self.watch = record, watch
        self.folder = context.settings.var / "work" / record.job.id
        self._tell = context.tell

    @property
    def job(self) -> Job:
        """What is worked on."""
        return self.record.job

    def prepare(self) -> None:
        """Make a folder with nothing in it: what is there may be older than what the record points to."""
        self.clear()
        self.folder.mkdir(parents=True)

    def fetch(self) -> None:
        """Fetch the states that the record points to."""
        for name, key in self.record.saved.items():
            self.artifacts.fetch(key, self.state(name))

    def clear(self) -> None:
        """Remove what is here."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def state(self, name: str) -> Path:
        """Where the state of a round is while it is trained."""
        return self.folder / f"{name}.state.pt"

    def prefix(self, index: int) -> str:
        """Key of all that a round makes, never used before."""
        return f"jobs/{self.job.id}/rounds/{index + 1}.{self.watch.fence}"

    def trained(self, index: int) -> None:
        """Save that a round is trained to its end, and has yet to be made something of."""
        self.watch.at = (index, self.job.iterations_of(index))
        self.save()

    def finished(self, results: list[RoundResult]) -> None:
        """Write down what the last round made.

        Raises:
            SliceOver: It is time, and there is more to do.
        """
        watch, result, count = self.watch, results[-1], len(results)
        is_last = count == len(self.job.rounds)
        distance = (result.metrics or {}).get("frechet_distance")
        self._tell(RoundFinished(watch.subject, self.job.rounds[count - 1], watch.trained_s, distance))
        watch.trained_s = 0.0
        watch.at = watch.at if is_last else (count, 0)
        facts = {"round": count, "steps": result.steps, "checkpoint": result.checkpoint, "metrics": result.metrics}
        watch.tell(
            "round",
            facts,
            rounds=[one.model_dump(mode="json") for one in results],
            round=watch.at[0],
            iteration=watch.at[1],
            trained_s=watch.trained_s,
            failures=0,
        )
        log.info("round finished", round=count, made=result.checkpoint)
        if watch.is_over and not is_last:
            raise SliceOver

    def save(self) -> None:
        """Store the state of the round under way and let the record point to it; then the older ones can go."""
        job, watch = self.job, self.watch
        index, iteration = watch.at
        name = job.rounds[index]
        local = self.state(name)
        if not local.is_file():
            return  # it was stopped before it began
        before = self.store.read(job.id)
        if before is None or before.fence != watch.fence:
            raise SliceLost
        key = f"jobs/{job.id}/states/{name}.{iteration}.{watch.fence}.pt"
        self.artifacts.put(local, key)
        # The round before is needed for its unrounded weights; what is older, and the state before this one, is not.
        needed = {job.rounds[index - 1]} if index else set()
        saved = {other: old for other, old in before.saved.items() if other in needed} | {name: key}
        state = self.store.tell(
            job.id,
            watch.fence,
            lease_s=self.settings.lease_s,
            kind="saved",
            data={"round": index + 1, "iteration": iteration},
            saved=saved,
            failures=0,
            round=index,
            iteration=iteration,
            history=watch.history,
            trained_s=watch.trained_s,
        )
        if state is None:
            self.remove(key)
            raise SliceLost
        for old in set(before.saved.values()) - set(saved.values()):
            self.remove(old)

    def remove(self, key: str) -> None:
        """What nobody needs; where the store is away it is done later, so nothing waits for it."""
        remove_or_discard(self.store, self.artifacts.impatient(), key)
