"""``/generate``: ask for images, wait for them or come back later."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Request, Response

from app.access.caller import Generates, Known
from app.access.idempotency import IdempotencyKey, checked
from app.generate import examples
from app.generate.answers import answer, find, pending, unknown
from app.generate.negotiation import prefers_async
from app.generate.resolve import Asked
from app.generate.submission import PATH, ClientLeft, submit, submit_and_wait
from app.paths import Root
from app.problems import CLIENT_CLOSED_REQUEST
from app.service import ServiceDependency
from app.webhooks.documents import DeliveriesResponse, deliveries_of
from core.generation import records
from core.generation.request import GenerateRequest

ALL_DEFAULTS = GenerateRequest()

router = APIRouter(prefix=PATH, tags=["generate"])

RecordId = Annotated[str, Path(description="The id from `Location`")]


@router.post("", summary="Generate images", response_class=Response, responses=examples.POST_RESPONSES)
async def generate(
    request: Request,
    service: ServiceDependency,
    caller: Generates,
    root: Root,
    body: Annotated[GenerateRequest, Body(openapi_examples=examples.REQUESTS)] = ALL_DEFAULTS,
    accept: Annotated[list[str] | None, Header(description="Media type of the result")] = None,
    prefer: Annotated[list[str] | None, Header(description="`respond-async`: answer 202 at once")] = None,
    idempotency_key: Annotated[
        IdempotencyKey | None,
        Header(description="Your name for this request: sent again with `Prefer: respond-async`, it is the same one"),
    ] = None,
) -> Response:
    """Sample images and answer with them, in the media type that `Accept` asks for.

    Image `i` has seed `seed + i` and is the same as from a request for that seed alone. The answer waits for the
    result up to a deadline of 60 seconds; nothing of it is kept then. With `Prefer: respond-async` the answer is
    `202` at once, also while no worker is there, and the result waits at `Location` for an hour. Then a zip or a NumPy
    array may have up to 10,000 images, and `Location` tells how many are done. With an `Idempotency-Key` the same
    request answers with the one that there is, as it stands then; with a `webhook` its end is told.
    """
    asynchronous, key = prefers_async(prefer or []), checked(idempotency_key)
    asked = Asked(body, ",".join(accept or []), caller, asynchronous=asynchronous)
    if asynchronous:
        record = await submit(asked, service, root=root, key=key)
        response = await pending(record, service)
        response.headers["Location"] = f"{root}{PATH}/{record.generation.id}"
        response.headers["Preference-Applied"] = "respond-async"
        return response
    try:
        record = await submit_and_wait(asked, request, service)
    except ClientLeft:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return await answer(request, record, service)


@router.get("/{id}", summary="Status, then the result", response_class=Response, responses=examples.GET_RESPONSES)
async def get_result(request: Request, service: ServiceDependency, caller: Known, id: RecordId) -> Response:
    """`202` with queue position and progress until it has ended, then what `POST` would have answered.

    The media type is the one negotiated by `POST`. Results are kept for an hour after the end.
    """
    return await answer(request, await find(id, service, caller), service)


@router.get("/{id}/deliveries", summary="Messages to its webhook", responses=examples.DELETE_RESPONSES)
async def list_deliveries(service: ServiceDependency, caller: Known, id: RecordId) -> DeliveriesResponse:
    """What was told of its end to the webhook that it came with, when, and how that went; as long as it is kept."""
    await find(id, service, caller)
    return await asyncio.to_thread(deliveries_of, service.jobs.redis, id)


@router.delete("/{id}", status_code=204, summary="Cancel, or discard the result", responses=examples.DELETE_RESPONSES)
async def cancel(service: ServiceDependency, caller: Generates, id: RecordId) -> None:
    """Cancel a generation before or while it is sampled, or discard its result.

    Idempotent, whatever the state was; `GET` answers `410` from then on.
    """
    if not await records.cancel(
        service.redis, id, ttl_s=service.settings.result_ttl_s, owner="" if caller.sees_all else caller.name
    ):
        raise unknown(id, service)
