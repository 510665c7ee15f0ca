"""Distillation jobs for tests."""

import uuid
from typing import Any

from core.catalog.card import Card
from core.catalog.serving import Made, Promotion
from core.jobs.record import Job, JobState
from core.jobs.references import CheckpointRef, RoundResult
from core.jobs.request import DistillJob, DistillRequest
from core.jobs.store import JobStore

SHA = 64 * "a"
TTL_S = 100


def make_job(**changes: Any) -> DistillJob:  # noqa: ANN401
    """A job of two rounds from ``digits/4-step``, changed as said."""
    job_id = uuid.uuid4().hex
    facts = {
        "id": job_id,
        "name": f"mine-{job_id[:8]}",
        "request": DistillRequest(teacher="digits/4-step", from_steps=4, iterations=100),
        "teacher": CheckpointRef(family="digits", checkpoint="4-step", artifact=None, sha256=SHA),
        "steps": (2, 1),
        "classifier": None,
        "data": "synthetic",
        "judge": None,
        "created": 1.0,
        "request_id": "abc",
    }
    return DistillJob.model_validate(facts | changes)


def make_card(num_steps: int, **changes: Any) -> Card:  # noqa: ANN401
    """A card of a student of 8x8 RGB images."""
    facts = {
        "fewstep_version": "0",
        "num_steps": num_steps,
        "rows": range(num_steps + 1),
        "last_step": "row_0",
        "prediction_type": "sample",
        "image_shape": (3, 8, 8),
        "parameters": 10,
        "method": "pd",
        "sha256": SHA,
    }
    return Card.model_validate(facts | changes)


def made_by(job: DistillJob) -> dict[str, Made]:
    """What a job has made when it succeeds, by ``family/checkpoint``."""
    return {
        f"{job.name}/{steps}-step": Made(card=make_card(steps), artifact=f"jobs/{job.id}/{steps}-step", job=job.id)
        for steps in job.steps
    }


def promotion_of(job: DistillJob, steps: int, **facts: Any) -> Promotion:  # noqa: ANN401
    """The promotion of one of its students."""
    return Promotion(family=job.name, checkpoint=f"{steps}-step", job=job.id, at=1767225600.25, **facts)


def round_of(job: DistillJob, steps: int) -> RoundResult:
    """The result of a round."""
    folder = f"jobs/{job.id}"
    return RoundResult(
        steps=steps,
        checkpoint=f"{job.name}/{steps}-step",
        artifact=f"{folder}/{steps}-step",
        samples=f"{folder}/{steps}-step.png",
    )


def create(store: JobStore, **changes: object) -> DistillJob:
    """Record a new job."""
    job = make_job(**changes)
    assert store.create(job, max_active=100) == ("created", job.id)
    return job


def acquire(store: JobStore, job: Job, fence: int = 0, *, lease_s: float = 60) -> int:
    """Take a slice of it; gives its fence."""
    taken = store.acquire(job.id, fence, "w1", lease_s=lease_s, ttl_s=TTL_S)
    assert taken is not None
    return taken


def end(store: JobStore, job: Job, state: JobState, **facts: Any) -> None:  # noqa: ANN401
    """Take a slice of it, which ends it."""
    assert store.end(job.id, acquire(store, job), state, ttl_s=TTL_S, **facts)


def succeed(store: JobStore, job: DistillJob, *, promote: dict[str, int] | None = None) -> None:
    """Let it end well, with its students in force at ``family/steps``."""
    promotions = {where: promotion_of(job, steps) for where, steps in (promote or {}).items()}
    end(store, job, JobState.SUCCEEDED, made=made_by(job), promotions=promotions)


def fail(store: JobStore, job: DistillJob) -> None:
    """Let it fail."""
    end(store, job, JobState.FAILED, problem={"detail": "no"})
