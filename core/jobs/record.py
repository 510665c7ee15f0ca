"""What is known of a job, as its record in Redis says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.jobs.references import RoundResult
from core.jobs.request import DistillJob
from core.jobs.training import TrainingJob

Job = DistillJob | TrainingJob


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


ENDED = (JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job.

    Attributes:
        fence: Number of the last slice.
        slices: Slices begun.
        attempts: Tries begun: the first slice, and each that follows on none that ended as it should.
        round: Index of the round under way, from 0.
        iteration: Iterations of it that are done.
        loss: Of the last iteration that was told of.
        rate: Iterations a second.
        history: Iteration, counted over all rounds, and loss of the last points.
        rounds: What each finished round made.
        saved: Key of the training state in the artifact store, by the name of its round.
        error: The problem document of a failed job.
        worker: Who has or had it last.
        lease: Until when its worker has it, in seconds since the epoch; 0 if nobody has.
        hinted: When a message was sent for it last.
        progressed: When its worker last told of any progress, training or not; None before the first time.
        trained_s: Seconds of training in the round under way, up to its saved state.
    """

    job: Job
    state: JobState
    fence: int
    slices: int
    attempts: int
    round: int
    iteration: int
    loss: float | None
    rate: float | None
    history: Sequence[tuple[int, float]]
    rounds: Sequence[RoundResult]
    saved: Mapping[str, str]
    error: Mapping[str, Any] | None
    worker: str
    lease: float
    hinted: float
    progressed: float | None
    trained_s: float
    started: float | None
    updated: float
    ended: float | None


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: its id in the stream, what kind it is, and its facts as JSON."""

    id: str
    kind: str
    data: str


def parse_job(document: str) -> Job:
    """A job as its record keeps it; those that say no kind distil."""
    content = json.loads(document)
    return (TrainingJob if "kind" in content else DistillJob).model_validate_json(document)


def parse(fields: Mapping[str, str]) -> JobRecord:
    """The fields of the hash, as Redis gives them."""
    return JobRecord(
        job=parse_job(fields["job"]),
        state=JobState(fields["state"]),
        fence=int(fields["fence"]),
        slices=(slices := int(fields["attempts"])),  # which the field has counted from the first
        attempts=int(fields.get("tries", min(slices, 1))),
        round=int(fields["round"]),
        iteration=int(fields["iteration"]),
        loss=_float(fields.get("loss")),
        rate=_float(fields.get("rate")),
        history=json.loads(fields.get("history", "[]")),
        rounds=[RoundResult.model_validate(one) for one in json.loads(fields.get("rounds", "[]"))],
        saved=json.loads(fields.get("saved", "{}")),
        error=json.loads(fields.get("error", "null")),
        worker=fields.get("worker", ""),
        lease=float(fields.get("lease", 0)),
        hinted=float(fields.get("hinted", 0)),
        progressed=_float(fields.get("progressed")),
        trained_s=float(fields.get("trained_s", 0)),
        started=_float(fields.get("started")),
        updated=float(fields["updated"]),
        ended=_float(fields.get("ended")),
    )


def _float(value: str | None) -> float | None:
    return None if value is None else float(value)
