"""``/distill-jobs``: ask for students, follow how they are made, and call it off or take it up again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Annotated
from urllib.parse import urlencode

import kombu.exceptions
import redis.exceptions
from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.access.caller import Caller, Distils, Known
from app.access.idempotency import IdempotencyKey, checked, gone, used_for_another
from app.jobs import examples
from app.jobs.answers import POLL_AFTER_S, accepted, find, quota_used, too_many, unknown
from app.jobs.documents import PATH, JobResponse, JobsResponse, document_of, summary_of
from app.jobs.events import EventId, follow, parse_event_id
from app.jobs.pages import MOST_LISTED, Cursor, matching, parse_cursor
from app.jobs.validation import resolve
from app.paths import Root
from app.service import Service, ServiceDependency
from app.webhooks.asked import wanted
from app.webhooks.documents import DeliveriesResponse, deliveries_of
from core.errors import Conflict, NotFound, Unavailable
from core.jobs.record import ENDED, JobState
from core.jobs.removal import remove_or_discard
from core.jobs.request import DistillRequest
from core.log import get_logger
from core.queues import Task

REMOVAL_S = 5.0
"""How long a deletion waits for its files to be gone."""

log = get_logger(__name__)
router = APIRouter(prefix=PATH, tags=["distillation"])

JobId = Annotated[str, Path(description="The id from `Location`")]


@router.post("", status_code=202, summary="Distil a teacher", responses=examples.POST_RESPONSES)
async def create_job(
    response: Response,
    service: ServiceDependency,
    caller: Distils,
    root: Root,
    body: Annotated[DistillRequest, Body(openapi_examples=examples.REQUESTS)],
    idempotency_key: Annotated[
        IdempotencyKey | None, Header(description="Your name for this request: sent again, it is the same job")
    ] = None,
) -> JobResponse:
    """Queue a job. Everything that can be checked is checked before; then it will be done, whatever dies meanwhile.

    With an `Idempotency-Key` the same request answers with the job that there is, also when several arrive at once.
    """
    # What a job made is in the artifact store, whose threads these then are.
    made = await run_in_threadpool(_is_made, body.teacher, service)
    run = service.storage.call if made else run_in_threadpool
    return await run(_create, response, root, service, caller, body, checked(idempotency_key))


def _is_made(teacher: str, service: Service) -> bool:
    """Whether a job made it."""
    family, _, checkpoint = teacher.partition("/")
    return (family, checkpoint) in service.catalog.serving().made


def _create(
    response: Response, root: str, service: Service, caller: Caller, body: DistillRequest, key: str
) -> JobResponse:
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    # Before anything is checked, so that a repeat is answered even if what the job was made from is gone.
    if key and (known := service.jobs.known(key, caller.name)):
        return _known(response, root, service, "same" if known[0] == fingerprint else "other", known[1])
    settings = service.settings
    job = resolve(body, service, caller)
    outcome, found = service.jobs.create(
        job,
        max_active=settings.max_active_jobs,
        key=key,
        fingerprint=fingerprint,
        ttl_s=settings.idempotency_ttl_s,
        webhook=wanted(body.webhook, f"{root}{PATH}/{job.id}", settings),
        training_per_day=caller.training_per_day,
    )
    match outcome:
        case "created":
            log.info("job accepted", job=job.id, teacher=body.teacher, name=job.name)
            _send(service, job.id, fence=0)
            return accepted(response, find(job.id, service, caller), root)
        case "name":
            raise Conflict(f"another job has the name {job.name!r}", field="name")
        case "full":
            raise too_many(service)
        case "quota":
            raise quota_used(caller, found)
        case _:
            return _known(response, root, service, outcome, found)


@router.get("", summary="All jobs, newest first", responses=examples.LIST_RESPONSES)
def list_jobs(
    service: ServiceDependency,
    caller: Known,
    root: Root,
    state: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most jobs on a page")] = 20,
    cursor: Annotated[Cursor | None, Query(description="From `next` of the page before")] = None,
) -> JobsResponse:
    """Your jobs with their progress, with the scope `admin` those of all; `next` is the path of the following page."""
    # One more than is shown tells whether there is a page after this one.
    found = list(islice(matching(service.jobs, state, caller, before=parse_cursor(cursor)), limit + 1))
    shown, query = found[:limit], {"limit": limit} | ({"state": state} if state else {})
    following = f"{root}{PATH}?{urlencode(query | {'cursor': shown[-1][0]})}" if len(found) > limit else None
    return JobsResponse(jobs=[summary_of(record, root) for _, record in shown], next=following)


@router.get("/{id}", summary="State and progress", responses=examples.GET_RESPONSES)
def get_job(response: Response, service: ServiceDependency, caller: Known, root: Root, id: JobId) -> JobResponse:
    """How far it is, what each finished round made and how good that is. `Retry-After` until it has ended."""
    record = find(id, service, caller)
    response.headers["Cache-Control"] = "no-store"
    if record.state not in ENDED:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return document_of(record, root)


def _after(
    service: ServiceDependency,
    caller: Known,
    id: JobId,
    last_event_id: Annotated[
        EventId | None, Header(description="The last event you have; what came after it is told")
    ] = None,
) -> str:
    """Where to go on; all that can be wrong is found here, before the answer begins."""
    find(id, service, caller)
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


@router.get("/{id}/deliveries", summary="Messages to its webhook", responses=examples.DELIVERIES_RESPONSES)
def list_deliveries(service: ServiceDependency, caller: Known, id: JobId) -> DeliveriesResponse:
    """What was told of the job to the webhook that it came with, when, and how that went."""
    return deliveries_of(service.jobs.redis, find(id, service, caller).job.id)


def _samples(
    service: ServiceDependency, caller: Known, id: JobId, k: Annotated[int, Path(description="The round, from 1")]
) -> str:
    """Key of the picture of a round."""
    rounds = find(id, service, caller).rounds
    if not 1 <= k <= len(rounds):
        raise NotFound(f"{len(rounds)} rounds are finished", field="k", allowed={"minimum": 1, "maximum": len(rounds)})
    return rounds[k - 1].samples


@router.get(
    "/{id}/rounds/{k}/samples.png",
    summary="Samples of a finished round",
    response_class=Response,
    responses=examples.SAMPLES_RESPONSES,
)
async def get_samples(service: ServiceDependency, key: Annotated[str, Depends(_samples)]) -> Response:
    """A picture of images that the round's student makes."""
    content = await service.storage.call(lambda: b"".join(service.artifacts.read(key)))
    return Response(content, media_type="image/png")


@router.post("/{id}/cancel", summary="Call a job off", responses=examples.CANCEL_RESPONSES)
def cancel_job(response: Response, service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> JobResponse:
    """`200` once it is cancelled: at once while it waits; `202` while its worker has yet to hear of it.

    Idempotent. A job that has succeeded or failed cannot be cancelled any more.
    """
    find(id, service, caller)
    state = service.jobs.cancel(id, ttl_s=service.settings.job_ttl_s)
    if state is None:
        raise unknown(id)
    if state in (JobState.SUCCEEDED, JobState.FAILED):
        raise Conflict(f"the job has {state} already", field="state", allowed=_states_but(*ENDED))
    record = find(id, service, caller)
    return document_of(record, root) if state is JobState.CANCELLED else accepted(response, record, root)


@router.post("/{id}/retry", status_code=202, summary="Take a job up again", responses=examples.RETRY_RESPONSES)
def retry_job(response: Response, service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> JobResponse:
    """Queue a failed or cancelled job again; it goes on from its last saved state."""
    find(id, service, caller)
    outcome, fence = service.jobs.retry(
        id,
        max_active=service.settings.max_active_jobs,
        training_per_day=caller.training_per_day,
    )
    match outcome:
        case "queued" if fence:
            _send(service, id, fence=fence)
            return accepted(response, find(id, service, caller), root)
        case "full":
            raise too_many(service)
        case "quota":
            raise quota_used(caller, fence)
        case "none":
            raise unknown(id)
        case _:
            raise Conflict(f"the job is {outcome}", field="state", allowed=[JobState.FAILED, JobState.CANCELLED])


def _forget(service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> None:
    """Delete the record, which takes a thread."""
    record = find(id, service, caller)
    for other in service.jobs.active():
        if other.job.teacher.family == record.job.name and other.job.id != id:
            raise Conflict(f"the job {other.job.id} distils {record.job.name}; cancel it or wait for its end")
    outcome, where = service.jobs.delete(id, record.job.name)
    match outcome:
        case "deleted":
            return
        case "none":
            raise unknown(id)
        case "serves":
            raise Conflict(
                f"a checkpoint of it serves as {where} (family/steps); POST {root}/models/{where}/rollback undoes that"
            )
        case _:
            raise Conflict(f"the job is {outcome}; cancel it first", field="state", allowed=list(ENDED))


@router.delete("/{id}", status_code=204, summary="Forget an ended job", responses=examples.DELETE_RESPONSES)
async def delete_job(service: ServiceDependency, id: JobId, _: Annotated[None, Depends(_forget)]) -> None:
    """Remove a job that has ended with all it has made, and its family; not while something of it serves or is used.

    Its files are removed at once or, where they are many or the artifact store is away, a while later.
    """
    remove = partial(remove_or_discard, service.jobs, service.artifacts, f"jobs/{id}")
    with suppress(TimeoutError, Unavailable):
        async with asyncio.timeout(REMOVAL_S):
            await service.storage.call(remove)


def _states_but(*excluded: JobState) -> list[JobState]:
    return [state for state in JobState if state not in excluded]


def _known(response: Response, root: str, service: Service, outcome: str, job_id: str) -> JobResponse:
    """The answer to a request whose key has been used."""
    if outcome == "other":
        raise used_for_another()
    record = service.jobs.read(job_id)
    if record is None:
        raise gone("job")
    return accepted(response, record, root)


def _send(service: Service, job_id: str, *, fence: int) -> None:
    """Tell the workers. A job stands also where that fails: they look for those without a message."""
    try:
        service.celery.send_task(Task.DISTILL, args=[job_id, fence])
    except (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError) as error:
        log.warning("no message sent", job=job_id, error=str(error))
