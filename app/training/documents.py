"""What jobs that train look like over HTTP, and any job in the list of all."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.jobs.documents import Standing, path_of, standing
from core.jobs.record import JobRecord
from core.jobs.references import CheckpointRef, JobKind, Judge
from core.jobs.training import TrainingJob, TrainingRequest


class AnyJob(Standing):
    """A job of whatever kind; `links` lead to all that is known of it."""

    kind: JobKind


class AnyJobsResponse(BaseModel):
    """A page of jobs."""

    jobs: list[AnyJob]
    next: Annotated[str | None, Field(description="Path of the page after this one; null: it is the last")]


class Made(BaseModel):
    """What came of a training."""

    name: Annotated[str, Field(description="In `GET /models`, `family/teacher`, or in `GET /classifiers`")]
    samples: Annotated[str | None, Field(description="Path of a picture of a teacher's samples")]
    metrics: Annotated[
        dict[str, Any] | None,
        Field(description="Of a teacher as `fewstep evaluate` has them, null: not judged; a classifier's accuracy"),
    ]


class TrainingResponse(AnyJob):
    """All that is known of a job that trains."""

    request: Annotated[TrainingRequest, Field(description="As it was sent, with the number of iterations")]
    options: Annotated[dict[str, Any], Field(description="All options, those that were not asked for too")]
    data: str
    init: Annotated[CheckpointRef | None, Field(description="What a teacher goes on from")]
    judge: Annotated[Judge | None, Field(description="What a teacher is judged by; null: it is not")]
    history: Annotated[list[tuple[int, float]], Field(description="Iteration, and loss")]
    made: Annotated[Made | None, Field(description="What it made, listed once it has succeeded; null: not yet")]


def any_job(record: JobRecord, root: str = "") -> AnyJob:
    """A job in the list of all; ``root`` is what paths in it begin with."""
    return AnyJob.model_validate({**standing(record, root), "kind": record.job.kind})


def document_of(record: JobRecord, root: str = "") -> TrainingResponse:
    """A job that trains in full."""
    job = record.job
    assert isinstance(job, TrainingJob)
    made = None
    for result in record.rounds:
        samples = f"{path_of(record.job, root)}/samples.png" if result.samples else None
        made = {"name": result.checkpoint, "samples": samples, "metrics": result.metrics}
    return TrainingResponse.model_validate(
        {
            **standing(record, root),
            "kind": job.kind,
            "request": job.request,
            "options": job.options.model_dump(mode="json"),
            "data": job.data,
            "init": job.init,
            "judge": job.judge,
            "history": record.history,
            "made": made,
        }
    )
