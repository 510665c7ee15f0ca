"""``/distill-jobs``: ask for students, follow how they are made, and call it off or take it up again."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.access.caller import Caller, Distils, Known
from app.access.idempotency import IdempotencyKey, checked
from app.jobs import examples
from app.jobs.answers import DISTILLATION, accepted, find, note_state
from app.jobs.documents import PATH, JobResponse, JobsResponse, document_of, summary_of
from app.jobs.events import EventId, follow, parse_event_id
from app.jobs.lifecycle import cancel, create, forget, remove_files, retry
from app.jobs.pages import MOST_LISTED, Cursor, page_of
from app.jobs.validation import resolve
from app.paths import Root
from app.service import Service, ServiceDependency
from app.webhooks.documents import DeliveriesResponse, deliveries_of
from core.errors import NotFound
from core.jobs.record import JobState
from core.jobs.request import DistillRequest

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
    record = create(service, caller, root, body, key, lambda: resolve(body, service, caller))
    return accepted(response, record, root)


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
    path = f"{root}{PATH}"
    page = page_of(service.jobs, caller, path=path, kinds=DISTILLATION, state=state, limit=limit, cursor=cursor)
    return JobsResponse(jobs=[summary_of(record, root) for record in page.records], next=page.following)


@router.get("/{id}", summary="State and progress", responses=examples.GET_RESPONSES)
def get_job(response: Response, service: ServiceDependency, caller: Known, root: Root, id: JobId) -> JobResponse:
    """How far it is, what each finished round made and how good that is. `Retry-After` until it has ended."""
    record = find(id, service, caller)
    note_state(response, record)
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
    return str(rounds[k - 1].samples)


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
    state = cancel(service, id)
    record = find(id, service, caller)
    return document_of(record, root) if state is JobState.CANCELLED else accepted(response, record, root)


@router.post("/{id}/retry", status_code=202, summary="Take a job up again", responses=examples.RETRY_RESPONSES)
def retry_job(response: Response, service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> JobResponse:
    """Queue a failed or cancelled job again; it goes on from its last saved state."""
    find(id, service, caller)
    retry(service, caller, id)
    return accepted(response, find(id, service, caller), root)


def _forget(service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> None:
    """Delete the record, which takes a thread."""
    forget(service, caller, id, DISTILLATION, root=root)


@router.delete("/{id}", status_code=204, summary="Forget an ended job", responses=examples.DELETE_RESPONSES)
async def delete_job(service: ServiceDependency, id: JobId, _: Annotated[None, Depends(_forget)]) -> None:
    """Remove a job that has ended with all it has made, and its family; not while something of it serves or is used.

    Its files are removed at once or, where they are many or the artifact store is away, a while later.
    """
    await remove_files(service, f"jobs/{id}")
