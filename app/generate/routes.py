"""``/generate``: ask for images, wait for them or come back later."""

import asyncio
import secrets
import time
import uuid
from typing import Annotated

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Body, Header, Path, Request, Response

from app.generate import examples
from app.generate.answers import answer, find, pending, unknown
from app.generate.choice import choose_checkpoint
from app.generate.negotiation import choose_media_type, prefers_async
from app.paths import Root
from app.problems import CLIENT_CLOSED_REQUEST
from app.service import Service, ServiceDependency
from core import tracing
from core.catalog.card import refuse_class
from core.errors import DeadlinePassed, InvalidRequest
from core.generation import records
from core.generation.records import Record, Status
from core.generation.request import MAX_SEED, MAX_STEPS, GenerateRequest, Generation, MediaType, task_of

ALL_DEFAULTS = GenerateRequest()

router = APIRouter(prefix="/generate", tags=["generate"])

RecordId = Annotated[str, Path(description="The id from `Location`")]


@router.post("", summary="Generate images", response_class=Response, responses=examples.POST_RESPONSES)
async def generate(
    request: Request,
    service: ServiceDependency,
    root: Root,
    body: Annotated[GenerateRequest, Body(openapi_examples=examples.REQUESTS)] = ALL_DEFAULTS,
    accept: Annotated[list[str] | None, Header(description="Media type of the result")] = None,
    prefer: Annotated[list[str] | None, Header(description="`respond-async`: answer 202 at once")] = None,
) -> Response:
    """Sample images and answer with them, in the media type that `Accept` asks for.

    Image `i` has seed `seed + i` and is the same as from a request for that seed alone. The answer waits for the
    result up to a deadline of 60 seconds; nothing of it is kept then. With `Prefer: respond-async` the answer is
    `202` at once, also while no worker is there, and the result waits at `Location` for an hour. Then a zip or a NumPy
    array may have up to 10,000 images, and `Location` tells how many are done.
    """
    asynchronous = prefers_async(prefer or [])
    # In a thread, since the catalogue may read the disk and asks Redis what jobs have changed.
    generation = await asyncio.to_thread(_resolve, body, ",".join(accept or []), service, asynchronous=asynchronous)
    if asynchronous:
        generation = await _submit(generation, service, ttl_s=service.settings.pending_ttl_s)
        response = await pending(Record(Status.QUEUED, generation), service)
        response.headers["Location"] = f"{root}{router.prefix}/{generation.id}"
        response.headers["Preference-Applied"] = "respond-async"
        return response
    return await _submit_and_wait(request, generation, service)


@router.get("/{id}", summary="Status, then the result", response_class=Response, responses=examples.GET_RESPONSES)
async def get_result(request: Request, service: ServiceDependency, id: RecordId) -> Response:
    """`202` with queue position and progress until it has ended, then what `POST` would have answered.

    The media type is the one negotiated by `POST`. Results are kept for an hour after the end.
    """
    return await answer(request, await find(id, service), service)


@router.delete("/{id}", status_code=204, summary="Cancel, or discard the result", responses=examples.DELETE_RESPONSES)
async def cancel(service: ServiceDependency, id: RecordId) -> None:
    """Cancel a generation before or while it is sampled, or discard its result.

    Idempotent, whatever the state was; `GET` answers `410` from then on.
    """
    if not await records.cancel(service.redis, id, ttl_s=service.settings.result_ttl_s):
        raise unknown(id, service)


def _resolve(body: GenerateRequest, accept: str, service: Service, *, asynchronous: bool) -> Generation:
    """The request with everything decided.

    Raises:
        FewstepError: It asks for what there is not, or not together.
    """
    settings = service.settings
    media_type = choose_media_type(accept, body.format)
    layout = body.layout or ("grid" if media_type.is_picture else "images")
    is_long = body.steps > MAX_STEPS
    in_pieces = asynchronous and layout == "images" and media_type in (MediaType.ZIP, MediaType.NPY) and not is_long
    most = max(settings.max_bulk_images, settings.max_images) if in_pieces else settings.max_images
    if body.n > most:
        bulk = f"; up to {settings.max_bulk_images} with `Prefer: respond-async` as zip or npy" if not in_pieces else ""
        raise InvalidRequest(f"n may be at most {most}{bulk}", field="n", allowed={"minimum": 1, "maximum": most})
    seed = secrets.randbelow(MAX_SEED + 2 - body.n) if body.seed is None else body.seed
    if seed + body.n - 1 > MAX_SEED:
        raise InvalidRequest(
            f"the last of {body.n} images would have a seed over {MAX_SEED}",
            field="seed",
            allowed={"minimum": 0, "maximum": MAX_SEED + 1 - body.n},
        )
    if media_type.is_picture and layout == "images" and body.n > 1:
        raise InvalidRequest(
            f"{media_type} is one picture; {body.n} images by themselves need application/json, application/zip or "
            "application/x-npy",
            field="layout",
            allowed=["grid"],
        )
    family = service.catalog.find(body.model or settings.default_model)
    checkpoint = choose_checkpoint(family, body, asynchronous=asynchronous, most=settings.max_checkpoint_steps)
    if body.class_label is not None:
        refuse_class(family.cards[checkpoint], body.class_label)
    created = time.time()  # Redis has the last word (`records.create`)
    return Generation(
        id=uuid.uuid4().hex,
        model=family.name,
        checkpoint=checkpoint,
        artifact=family.artifacts.get(checkpoint),
        steps=body.steps,
        n=body.n,
        seed=seed,
        class_label=body.class_label,
        format=media_type.removeprefix("image/") if media_type.is_picture else body.format,
        layout=layout,
        media_type=media_type,
        priority="bulk" if is_long else body.priority or ("bulk" if asynchronous else "interactive"),
        pieces=body.n > settings.max_images,
        created=created,
        deadline=None if asynchronous else created + settings.deadline_s,
        request_id=correlation_id.get() or "",
        trace=tracing.traceparent(),
    )


async def _submit(generation: Generation, service: Service, *, ttl_s: float, work_s: float = 0) -> Generation:
    """Record it, then tell the workers; if they cannot be told, take it back. Gives it with its times by Redis."""
    accepted = await records.create(service.redis, generation, ttl_s=ttl_s, work_s=work_s)
    try:
        with tracing.span("publish", kind="PRODUCER"):
            await service.announcer.announce(task_of(generation), generation.id)
    except Exception:
        await records.cancel(service.redis, generation.id, ttl_s=service.settings.result_ttl_s)
        raise
    return accepted


async def _submit_and_wait(request: Request, generation: Generation, service: Service) -> Response:
    settings, redis = service.settings, service.redis
    work_s = await service.capacity.admit(f"{generation.model}/{generation.checkpoint}", generation.n)
    with service.results.expect(generation.id) as done:
        await _submit(generation, service, ttl_s=2 * settings.deadline_s, work_s=work_s)
        left = asyncio.create_task(_disconnected(request))
        try:
            ended, _ = await asyncio.wait({done, left}, timeout=settings.deadline_s, return_when="FIRST_COMPLETED")
        finally:
            left.cancel()
    if done not in ended:
        await records.cancel(redis, generation.id, ttl_s=settings.deadline_s)
        if left in ended:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        raise DeadlinePassed(
            f"there was no result within {settings.deadline_s:g} seconds; `Prefer: respond-async` has no deadline"
        )
    response = await answer(request, await find(generation.id, service), service)
    await records.forget(redis, generation.id)
    return response


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
