"""What endpoints of jobs answer alike."""

import re
from collections.abc import Container
from typing import Annotated

from fastapi import Response
from pydantic import WithJsonSchema

from app.access.caller import Caller
from app.jobs.documents import JobResponse, document_of, path_of
from app.service import Service
from core.errors import InvalidRequest, NotFound, TooMany
from core.jobs.record import ENDED, JobRecord
from core.jobs.references import JobKind

DISTILLATION, TRAINING = (JobKind.DISTILLATION,), (JobKind.TEACHER, JobKind.CLASSIFIER)
POLL_AFTER_S = 5
TRY_AGAIN_AFTER_S = 60
"""When to ask again for a job after there were too many."""
KEY = "Idempotency-Key"
KEY_PATTERN = "^[!-~]{1,200}$"
IdempotencyKey = Annotated[str, WithJsonSchema({"type": "string", "pattern": KEY_PATTERN})]


def find(job_id: str, service: Service, caller: Caller, kinds: Container[JobKind] = DISTILLATION) -> JobRecord:
    """The record of a job of one of these kinds.

    Raises:
        NotFound: There is none, or no more, or it belongs to another.
    """
    record = service.jobs.read(job_id)
    if record is None or record.job.kind not in kinds or not caller.sees(record.job.owner):
        raise unknown(job_id)
    return record


def unknown(job_id: str) -> NotFound:
    """The error for an id that has no record."""
    return NotFound(f"there is no job {job_id}", field="id")


def too_many(service: Service) -> TooMany:
    """The error where as many jobs wait or run as may."""
    most = service.settings.max_active_jobs
    return TooMany(f"{most} jobs wait or run already", retry_after=TRY_AGAIN_AFTER_S, allowed={"maximum": most})


def checked(key: str | None) -> str:
    """The idempotency key; empty for none.

    Raises:
        InvalidRequest: It is not as the schema says.
    """
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise InvalidRequest(f"{KEY} is 1 to 200 visible ASCII characters", field=KEY, allowed={"pattern": KEY_PATTERN})
    return key or ""


def accepted(response: Response, record: JobRecord, root: str) -> JobResponse:
    """202: it will be done."""
    note_accepted(response, record, root)
    return document_of(record, root)


def note_accepted(response: Response, record: JobRecord, root: str) -> None:
    """The status and headers of that."""
    response.status_code = 202
    response.headers["Location"] = path_of(record, root)
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    response.headers["Cache-Control"] = "no-store"


def note_state(response: Response, record: JobRecord) -> None:
    """The headers of where a job stands."""
    response.headers["Cache-Control"] = "no-store"
    if record.state not in ENDED:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
