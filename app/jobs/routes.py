"""``/distill-jobs``: ask for students, follow how they are made, and call it off or take it up again."""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Annotated
from urllib.parse import urlencode

import kombu.exceptions
import redis.exceptions
from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.jobs import examples
from app.jobs.documents import PATH, JobResponse, JobsResponse, document_of, summary_of
from app.jobs.events import follow, parse_event_id
from app.jobs.validation import resolve
from app.service import Service, ServiceDependency
from core.errors import Conflict, InvalidRequest, NotFound, TooMany
from core.jobs.record import ENDED, JobRecord, JobState
from core.jobs.request import DistillRequest
from core.log import get_logger
from core.queues import Task

POLL_AFTER_S = 5
TRY_AGAIN_AFTER_S = 60
"""When to ask again for a job after there were too many."""
KEY = "Idempotency-Key"
MOST_LISTED = 100

log = get_logger(__name__)
router = APIRouter(prefix=PATH, tags=["distillation"])

JobId = Annotated[str, Path(description="The id from `Location`")]


@router.post("", status_code=202, summary="Distil a teacher", responses=examples.POST_RESPONSES)
def create_job(
    response: Response,
    service: ServiceDependency,
    body: Annotated[DistillRequest, Body(openapi_examples=examples.REQUESTS)],
    idempotency_key: Annotated[
        str | None, Header(description="Your name for this request: sent again, it is the same job")
    ] = None,
) -> JobResponse:
    """Queue a job. Everything that can be checked is checked before; then it will be done, whatever dies meanwhile.

    With an `Idempotency-Key` the same request answers with the job that there is, also when several arrive at once.
    """
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    key = _checked(idempotency_key)
    # Before anything is checked, so that a repeat is answered even if what the job was made from is gone.
    if key and (known := service.jobs.known(key)):
        return _known(response, service, "same" if known[0] == fingerprint else "other", known[1])
    settings = service.settings
    job = resolve(body, service)
    outcome, found = service.jobs.create(
        job,
        max_active=settings.max_active_jobs,
        key=key,
        fingerprint=fingerprint,
        ttl_s=settings.idempotency_ttl_s,
    )
    match outcome:
        case "created":
            log.info("job accepted", job=job.id, teacher=body.teacher, name=job.name)
            _send(service, job.id, fence=0)
            return _accepted(response, find(job.id, service))
        case "name":
            raise Conflict(f"another job has the name {job.name!r}", field="name")
        case "full":
            raise _too_many(service)
        case _:
            return _known(response, service, outcome, found)


@router.get("", summary="All jobs, newest first", responses=examples.LIST_RESPONSES)
def list_jobs(
    service: ServiceDependency,
    state: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most jobs on a page")] = 20,
    cursor: Annotated[str | None, Query(description="From `next` of the page before")] = None,
) -> JobsResponse:
    """Jobs with their progress; `next` is the path of the following page."""
    # One more than is shown tells whether there is a page after this one.
    found = list(islice(_matching(service, state, before=_parse_cursor(cursor)), limit + 1))
    shown, query = found[:limit], {"limit": limit} | ({"state": state} if state else {})
    following = f"{PATH}?{urlencode(query | {'cursor': shown[-1][0]})}" if len(found) > limit else None
    return JobsResponse(jobs=[summary_of(record) for _, record in shown], next=following)


@router.get("/{id}", summary="State and progress", responses=examples.GET_RESPONSES)
def get_job(response: Response, service: ServiceDependency, id: JobId) -> JobResponse:
    """How far it is, what each finished round made and how good that is. `Retry-After` until it has ended."""
    record = find(id, service)
    response.headers["Cache-Control"] = "no-store"
    if record.state not in ENDED:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return document_of(record)


def _after(
    service: ServiceDependency,
    id: JobId,
    last_event_id: Annotated[
        str | None, Header(description="The last event you have; what came after it is told")
    ] = None,
) -> str:
    """Where to go on; all that can be wrong is found here, before the answer begins."""
    find(id, service)
    return parse_event_id(last_event_id)


@router.get(
    "/{id}/events",
    summary="What happens, as it happens",
    response_class=EventSourceResponse,
    responses=examples.EVENTS_RESPONSES,
)
async def get_events(
    service: ServiceDependency, id: JobId, after: Annotated[str, Depends(_after)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events from the first on, or after `Last-Event-ID`; ends when the job has ended and all is told.

    A comment each ten seconds keeps the connection open where nothing happens.
    """
    async for event in follow(service.jobs, id, after=after):
        yield event


@router.get(
    "/{id}/rounds/{k}/samples.png",
    summary="Samples of a finished round",
    response_class=Response,
    responses=examples.SAMPLES_RESPONSES,
)
def get_samples(
    service: ServiceDependency, id: JobId, k: Annotated[int, Path(description="The round, from 1")]
) -> Response:
    """A picture of images that the round's student makes."""
    rounds = find(id, service).rounds
    if not 1 <= k <= len(rounds):
        raise NotFound(f"{len(rounds)} rounds are finished", field="k", allowed={"minimum": 1, "maximum": len(rounds)})
    return Response(b"".join(service.artifacts.read(rounds[k - 1].samples)), media_type="image/png")


@router.post("/{id}/cancel", summary="Call a job off", responses=examples.CANCEL_RESPONSES)
def cancel_job(response: Response, service: ServiceDependency, id: JobId) -> JobResponse:
    """`200` once it is cancelled: at once while it waits; `202` while its worker has yet to hear of it.

    Idempotent. A job that has succeeded or failed cannot be cancelled any more.
    """
    state = service.jobs.cancel(id, ttl_s=service.settings.job_ttl_s)
    if state is None:
        raise _unknown(id)
    if state in (JobState.SUCCEEDED, JobState.FAILED):
        raise Conflict(f"the job has {state} already", field="state", allowed=_states_but(*ENDED))
    record = find(id, service)
    return document_of(record) if state is JobState.CANCELLED else _accepted(response, record)


@router.post("/{id}/retry", status_code=202, summary="Take a job up again", responses=examples.RETRY_RESPONSES)
def retry_job(response: Response, service: ServiceDependency, id: JobId) -> JobResponse:
    """Queue a failed or cancelled job again; it goes on from its last saved state."""
    outcome, fence = service.jobs.retry(id, max_active=service.settings.max_active_jobs)
    match outcome:
        case "queued" if fence:
            _send(service, id, fence=fence)
            return _accepted(response, find(id, service))
        case "full":
            raise _too_many(service)
        case "none":
            raise _unknown(id)
        case _:
            raise Conflict(f"the job is {outcome}", field="state", allowed=[JobState.FAILED, JobState.CANCELLED])


@router.delete("/{id}", status_code=204, summary="Forget an ended job", responses=examples.DELETE_RESPONSES)
def delete_job(service: ServiceDependency, id: JobId) -> None:
    """Remove a job that has ended with all it has made, and its family; not while something of it serves or is used."""
    record = find(id, service)
    for other in service.jobs.active():
        if other.job.teacher.family == record.job.name and other.job.id != id:
            raise Conflict(f"the job {other.job.id} distils {record.job.name}; cancel it or wait for its end")
    outcome, where = service.jobs.delete(id, record.job.name)
    match outcome:
        case "deleted":
            service.artifacts.remove(f"jobs/{id}")
        case "none":
            raise _unknown(id)
        case "serves":
            raise Conflict(
                f"a checkpoint of it serves as {where} (family/steps); POST /models/{where}/rollback undoes that"
            )
        case _:
            raise Conflict(f"the job is {outcome}; cancel it first", field="state", allowed=list(ENDED))


def find(job_id: str, service: Service) -> JobRecord:
    """The record of a job.

    Raises:
        NotFound: There is none, or no more.
    """
    record = service.jobs.read(job_id)
    if record is None:
        raise _unknown(job_id)
    return record


def _unknown(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id}", field="id")


def _too_many(service: Service) -> TooMany:
    most = service.settings.max_active_jobs
    return TooMany(f"{most} jobs wait or run already", retry_after=TRY_AGAIN_AFTER_S, allowed={"maximum": most})


def _states_but(*excluded: JobState) -> list[JobState]:
    return [state for state in JobState if state not in excluded]


def _checked(key: str | None) -> str:
    """The idempotency key; empty for none."""
    if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
        raise InvalidRequest(
            f"{KEY} is 1 to 200 visible ASCII characters", field=KEY, allowed={"pattern": "^[!-~]{1,200}$"}
        )
    return key or ""


def _known(response: Response, service: Service, outcome: str, job_id: str) -> JobResponse:
    """The answer to a request whose key has been used."""
    if outcome == "other":
        raise InvalidRequest(f"this {KEY} came with another request before; use a new one", field=KEY)
    record = service.jobs.read(job_id)
    if record is None:
        raise Conflict(f"the job of this {KEY} has been deleted; use a new one", field=KEY)
    return _accepted(response, record)


def _accepted(response: Response, record: JobRecord) -> JobResponse:
    """202: it will be done."""
    response.status_code = 202
    response.headers["Location"] = f"{PATH}/{record.job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    response.headers["Cache-Control"] = "no-store"
    return document_of(record)


def _send(service: Service, job_id: str, *, fence: int) -> None:
    """Tell the workers. A job stands also where that fails: they look for those without a message."""
    try:
        service.celery.send_task(Task.DISTILL, args=[job_id, fence])
    except (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError) as error:
        log.warning("no message sent", job=job_id, error=str(error))


def _matching(service: Service, state: JobState | None, *, before: float) -> Iterator[tuple[float, JobRecord]]:
    """Jobs in a state, or in any, newest first, each after the time that a cursor names it by."""
    while page := service.jobs.page(before=before, count=MOST_LISTED):
        for job_id, before in page:
            record = service.jobs.read(job_id)
            if record is not None and state in (None, record.state):
                yield before, record


def _parse_cursor(cursor: str | None) -> float:
    if cursor is None:
        return float("inf")
    if not re.fullmatch(r"\d{1,12}\.\d{1,9}", cursor, re.ASCII):
        raise InvalidRequest("cursor must be one from `next` of a page", field="cursor")
    return float(cursor)
