"""What endpoints of distillation jobs answer alike."""

from fastapi import Response

from app.access.caller import Caller
from app.jobs.documents import PATH, JobResponse, document_of
from app.service import Service
from core.errors import NotFound, TooMany
from core.jobs.record import JobRecord

POLL_AFTER_S = 5
TRY_AGAIN_AFTER_S = 60
"""When to ask again for a job after there were too many."""


def find(job_id: str, service: Service, caller: Caller) -> JobRecord:
    """The record of a job.

    Raises:
        NotFound: There is none, or no more, or it belongs to another.
    """
    record = service.jobs.read(job_id)
    if record is None or not caller.sees(record.job.owner):
        raise unknown(job_id)
    return record


def unknown(job_id: str) -> NotFound:
    """The error for an id that has no record."""
    return NotFound(f"there is no job {job_id}", field="id")


def too_many(service: Service) -> TooMany:
    """The error where as many jobs wait or run as may."""
    most = service.settings.max_active_jobs
    return TooMany(f"{most} jobs wait or run already", retry_after=TRY_AGAIN_AFTER_S, allowed={"maximum": most})


def quota_used(caller: Caller, left_s: int | str) -> TooMany:
    """The error where a key's jobs have trained for as long today as they may; ``left_s`` until the day ends."""
    most = caller.training_per_day
    return TooMany(
        f"jobs of the key {caller.name} may train for {most} seconds a day (UTC), and have",
        retry_after=float(left_s),
        allowed={"training_seconds_per_day": most},
    )


def accepted(response: Response, record: JobRecord, root: str) -> JobResponse:
    """202: it will be done."""
    response.status_code = 202
    response.headers["Location"] = f"{root}{PATH}/{record.job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    response.headers["Cache-Control"] = "no-store"
    return document_of(record, root)
