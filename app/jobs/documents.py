"""What jobs look like over HTTP: what all have, and what those have that distil."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.jobs.record import ENDED, Job, JobRecord, JobState
from core.jobs.references import CheckpointRef, ClassifierRef, JobKind, Judge, RoundResult
from core.jobs.request import DistillJob, DistillRequest
from core.machine.clock import utc

PATH = "/distill-jobs"
TRAINING_PATH = "/training-jobs"


class Round(BaseModel):
    """A finished round."""

    k: Annotated[int, Field(description="From 1")]
    steps: Annotated[int, Field(description="Of its student")]
    checkpoint: Annotated[str, Field(description="As which it serves once the job has succeeded")]
    samples: Annotated[str, Field(description="Path of a picture of samples")]
    metrics: Annotated[dict[str, Any] | None, Field(description="As `fewstep evaluate` has them; null: not judged")]
    promote: Annotated[bool, Field(description="Whether it takes its place in the teacher's family with success")]
    rival: Annotated[str | None, Field(description="The checkpoint that it was compared with there")]
    rival_frechet_distance: float | None


class Standing(BaseModel):
    """Where a job stands, whatever it makes."""

    id: str
    name: Annotated[str, Field(description="Family that the students serve as, or the teacher; or of the classifier")]
    state: JobState
    round: Annotated[int, Field(description="The round under way, or the last one, from 1")]
    rounds: Annotated[int, Field(description="Number of rounds")]
    iteration: Annotated[int, Field(description="Iterations of that round that are done")]
    iterations: Annotated[int, Field(description="Iterations of that round")]
    loss: Annotated[float | None, Field(description="The last one told of")]
    iterations_per_second: float | None
    eta_s: Annotated[float | None, Field(description="Seconds of training until all rounds are done; null: unknown")]
    attempts: Annotated[
        int, Field(description="Tries begun: one, and one more after each loss of its worker and each retry")
    ]
    slices: Annotated[int, Field(description="Turns at training begun, of which a try has as many as it takes")]
    created: Annotated[datetime, Field(description="RFC 3339 in UTC, as all times")]
    started: datetime | None
    updated: datetime
    ended: datetime | None
    error: Annotated[dict[str, Any] | None, Field(description="The problem of a failed job")]
    owner: Annotated[str, Field(description="Whose key asked for it; empty where none was asked for")]
    links: dict[str, str]


class JobSummary(Standing):
    """A job as the list shows it."""

    teacher: CheckpointRef
    steps: Annotated[tuple[int, ...], Field(description="Of the student of each round")]


class JobResponse(JobSummary):
    """All that is known of a job."""

    request: Annotated[DistillRequest, Field(description="As it was sent, with defaults")]
    classifier: ClassifierRef | None
    guide: Annotated[CheckpointRef | None, Field(description="What the teacher is led away from in the first round")]
    data: Annotated[str | None, Field(description="What it trains on; null: the teacher alone, and noise")]
    judge: Annotated[Judge | None, Field(description="What the students are judged by; null: they are not")]
    history: Annotated[list[tuple[int, float]], Field(description="Iteration over all rounds, and loss")]
    finished: Annotated[list[Round], Field(description="Rounds that are done")]


class JobsResponse(BaseModel):
    """A page of jobs."""

    jobs: list[JobSummary]
    next: Annotated[str | None, Field(description="Path of the page after this one; null: it is the last")]


def summary_of(record: JobRecord, root: str = "") -> JobSummary:
    """A job that distils in short; ``root`` is what paths in it begin with."""
    return JobSummary.model_validate(_facts(record, root))


def document_of(record: JobRecord, root: str = "") -> JobResponse:
    """A job that distils in full; ``root`` is what paths in it begin with."""
    job = record.job
    assert isinstance(job, DistillJob)
    return JobResponse.model_validate(
        {
            **_facts(record, root),
            "request": job.request,
            "classifier": job.classifier,
            "guide": job.guide,
            "data": job.data,
            "judge": job.judge,
            "history": record.history,
            "finished": [_round(f"{root}{PATH}/{job.id}", k, one) for k, one in enumerate(record.rounds, 1)],
        }
    )


def _facts(record: JobRecord, root: str) -> dict[str, Any]:
    job = record.job
    assert isinstance(job, DistillJob)
    return {**standing(record, root), "teacher": job.teacher, "steps": job.steps}


def standing(record: JobRecord, root: str = "") -> dict[str, Any]:
    """The fields of ``Standing``; ``root`` is what paths in it begin with."""
    job = record.job
    index = min(record.round, len(job.rounds) - 1)
    return {
        "id": job.id,
        "name": job.name,
        "state": record.state,
        "round": index + 1,
        "rounds": len(job.rounds),
        "iteration": record.iteration if index == record.round else job.iterations_of(index),
        "iterations": job.iterations_of(index),
        "loss": record.loss,
        "iterations_per_second": record.rate,
        "eta_s": _eta_s(record),
        "attempts": record.attempts,
        "slices": record.slices,
        "created": utc(job.created),
        "started": utc(record.started),
        "updated": utc(record.updated),
        "ended": utc(record.ended),
        "error": record.error,
        "owner": job.owner,
        "links": dict(_links(record, root)),
    }


def _eta_s(record: JobRecord) -> float | None:
    if record.state in ENDED or not record.rate:
        return None
    left = sum(record.job.iterations_of(index) for index in range(record.round, len(record.job.rounds)))
    return max(0, left - record.iteration) / record.rate


def _links(record: JobRecord, root: str) -> Iterator[tuple[str, str]]:
    """What can be done next."""
    path = path_of(record.job, root)
    yield "self", path
    yield "events", f"{path}/events"
    if record.job.request.webhook:
        yield "deliveries", f"{path}/deliveries"
    if record.state not in ENDED:
        yield "cancel", f"{path}/cancel"
    if record.state in (JobState.FAILED, JobState.CANCELLED):
        yield "retry", f"{path}/retry"


def path_of(job: Job, root: str) -> str:
    """Of a job, by what it makes."""
    return f"{root}{PATH if job.kind is JobKind.DISTILLATION else TRAINING_PATH}/{job.id}"


def _round(path: str, k: int, result: RoundResult) -> dict[str, Any]:
    facts = result.model_dump(exclude={"artifact"})
    return {**facts, "k": k, "samples": f"{path}/rounds/{k}/samples.png"}
