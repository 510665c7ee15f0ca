"""``/training-jobs``: ask for a teacher or a classifier of a data set; ``/jobs``: all jobs, of whatever kind."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.access.caller import Distils, Known
from app.access.idempotency import IdempotencyKey, checked
from app.jobs.answers import TRAINING, find, note_accepted, note_state
from app.jobs.documents import TRAINING_PATH
from app.jobs.events import EventId, follow, parse_event_id
from app.jobs.lifecycle import cancel, create, forget, remove_files, retry
from app.jobs.pages import MOST_LISTED, Cursor, page_of
from app.jobs.routes import JobId
from app.paths import Root
from app.service import ServiceDependency
from app.training import examples
from app.training.documents import AnyJobsResponse, TrainingResponse, any_job, document_of
from app.training.validation import resolve
from app.webhooks.documents import DeliveriesResponse, deliveries_of
from core.errors import NotFound
from core.jobs.record import JobState
from core.jobs.references import JobKind
from core.jobs.training import TrainingRequest

PATH = "/jobs"

router = APIRouter(tags=["distillation"])


@router.get(PATH, summary="All jobs, newest first", responses=examples.LIST_RESPONSES)
def list_all_jobs(
    service: ServiceDependency,
    caller: Known,
    root: Root,
    kind: Annotated[JobKind | None, Query(description="Only jobs of this kind")] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most jobs on a page")] = 20,
    cursor: Annotated[Cursor | None, Query(description="From `next` of the page before")] = None,
) -> AnyJobsResponse:
    """Your jobs, with the scope `admin` those of all, that distil and that train; `next` is the following page."""
    page = page_of(
        service.jobs,
        caller,
        path=f"{root}{PATH}",
        kinds=(kind,) if kind else tuple(JobKind),
        state=state,
        limit=limit,
        cursor=cursor,
        **({"kind": kind} if kind else {}),
    )
    return AnyJobsResponse(jobs=[any_job(record, root) for record in page.records], next=page.following)


@router.post(
    TRAINING_PATH, status_code=202, summary="Train a teacher or a classifier", responses=examples.POST_RESPONSES
)
def create_training(
    response: Response,
    service: ServiceDependency,
    caller: Distils,
    root: Root,
    body: Annotated[TrainingRequest, Body(openapi_examples=examples.REQUESTS)],
    idempotency_key: Annotated[
        IdempotencyKey | None, Header(description="Your name for this request: sent again, it is the same job")
    ] = None,
) -> TrainingResponse:
    """Queue a job. Everything that can be checked is checked before; then it will be done, whatever dies meanwhile.

    What it makes is listed once it has succeeded: a teacher serves, and can be distilled; a classifier can be distilled
    through, and judge.
    """
    record = create(service, caller, root, body, checked(idempotency_key), lambda: resolve(body, service, caller))
    note_accepted(response, record, root)
    return document_of(record, root)


@router.get(f"{TRAINING_PATH}/{{id}}", summary="State and progress", responses=examples.GET_RESPONSES)
def get_training(
    response: Response, service: ServiceDependency, caller: Known, root: Root, id: JobId
) -> TrainingResponse:
    """How far it is, and what it made. `Retry-After` until it has ended."""
    record = find(id, service, caller, TRAINING)
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
    find(id, service, caller, TRAINING)
    return parse_event_id(last_event_id)


@router.get(
    f"{TRAINING_PATH}/{{id}}/events",
    summary="What happens, as it happens",
    response_class=EventSourceResponse,
    responses=examples.EVENTS_RESPONSES,
)
async def get_training_events(
    service: ServiceDependency, id: JobId, after: Annotated[str, Depends(_after)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events from the first on, or after `Last-Event-ID`; ends when the job has ended and all is told."""
    async for event in follow(service.jobs, id, after=after):
        yield event


@router.get(
    f"{TRAINING_PATH}/{{id}}/deliveries", summary="Messages to its webhook", responses=examples.DELIVERIES_RESPONSES
)
def list_training_deliveries(service: ServiceDependency, caller: Known, id: JobId) -> DeliveriesResponse:
    """What was told of the job to the webhook that it came with, when, and how that went."""
    return deliveries_of(service.jobs.redis, find(id, service, caller, TRAINING).job.id)


def _samples(service: ServiceDependency, caller: Known, id: JobId) -> str:
    """Key of the picture."""
    found = [result.samples for result in find(id, service, caller, TRAINING).rounds if result.samples]
    if not found:
        raise NotFound("there are no samples: a teacher has them once it is trained")
    return found[0]


@router.get(
    f"{TRAINING_PATH}/{{id}}/samples.png",
    summary="Samples of a trained teacher",
    response_class=Response,
    responses=examples.SAMPLES_RESPONSES,
)
async def get_training_samples(service: ServiceDependency, key: Annotated[str, Depends(_samples)]) -> Response:
    """A picture of images that it makes."""
    content = await service.storage.call(lambda: b"".join(service.artifacts.read(key)))
    return Response(content, media_type="image/png")


@router.post(f"{TRAINING_PATH}/{{id}}/cancel", summary="Call a job off", responses=examples.CANCEL_RESPONSES)
def cancel_training(
    response: Response, service: ServiceDependency, caller: Distils, root: Root, id: JobId
) -> TrainingResponse:
    """`200` once it is cancelled: at once while it waits; `202` while its worker has yet to hear of it."""
    find(id, service, caller, TRAINING)
    state = cancel(service, id)
    record = find(id, service, caller, TRAINING)
    if state is not JobState.CANCELLED:
        note_accepted(response, record, root)
    return document_of(record, root)


@router.post(
    f"{TRAINING_PATH}/{{id}}/retry", status_code=202, summary="Take a job up again", responses=examples.RETRY_RESPONSES
)
def retry_training(
    response: Response, service: ServiceDependency, caller: Distils, root: Root, id: JobId
) -> TrainingResponse:
    """Queue a failed or cancelled job again; it goes on from its last saved state."""
    find(id, service, caller, TRAINING)
    retry(service, caller, id)
    record = find(id, service, caller, TRAINING)
    note_accepted(response, record, root)
    return document_of(record, root)


def _forget(service: ServiceDependency, caller: Distils, root: Root, id: JobId) -> None:
    """Delete the record, which takes a thread."""
    forget(service, caller, id, TRAINING, root=root)


@router.delete(
    f"{TRAINING_PATH}/{{id}}", status_code=204, summary="Forget an ended job", responses=examples.DELETE_RESPONSES
)
async def delete_training(service: ServiceDependency, id: JobId, _: Annotated[None, Depends(_forget)]) -> None:
    """Remove a job that has ended with the teacher or classifier that it made; not while a job uses that."""
    await remove_files(service, f"jobs/{id}")
