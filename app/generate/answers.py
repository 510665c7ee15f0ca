"""What a generation looks like over HTTP: pending, the result, or the problem."""

from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, StreamingResponse

from app.access.caller import Caller
from app.problems import RETRY_AFTER_S, problem_response
from app.service import Service
from core.connections import text
from core.errors import Cancelled, NotFound
from core.generation import records
from core.generation.records import Record, Status
from core.machine.clock import utc

POLL_AFTER_S = 1
_NOT_FOR_CACHES = {"Cache-Control": "no-store"}


class PendingResponse(BaseModel):
    """A generation that has not ended yet."""

    id: str
    status: Status
    queue_position: Annotated[int | None, Field(description="How many wait before it; null once it runs")]
    n: Annotated[int, Field(description="Images that are asked for")]
    images_done: Annotated[int, Field(description="Of them those in the result so far; grows by hundreds")]
    progress: Annotated[
        float, Field(description="Share of the sampling that is done, 0 to 1; grows with each step of a batch")
    ]
    created: Annotated[datetime, Field(description="RFC 3339 in UTC")]


async def find(record_id: str, service: Service, caller: Caller) -> Record:
    """The record of a generation.

    Raises:
        NotFound: There is none, or no more, or it belongs to another.
    """
    record = await records.read(service.redis, record_id)
    if record is None or not caller.sees(record.generation.owner):
        raise unknown(record_id, service)
    return record


def unknown(record_id: str, service: Service) -> NotFound:
    """The error for an id that has no record; says how long records are kept."""
    kept = f"{service.settings.result_ttl_s:g} seconds"
    return NotFound(f"there is no generation {record_id}; results are kept for {kept} after the end", field="id")


async def answer(request: Request, record: Record, service: Service) -> Response:
    """The record as an answer to ``request``.

    Raises:
        Cancelled: It was cancelled.
    """
    match record.status:
        case Status.SUCCEEDED:
            headers = {**(record.headers or {}), **_NOT_FOR_CACHES}
            if record.generation.pieces:
                return StreamingResponse(
                    _document(record, service), headers=headers, media_type=record.generation.media_type
                )
            return Response(record.result, headers=headers, media_type=record.generation.media_type)
        case Status.FAILED:
            passes = (record.problem or {}).get("status") == HTTPStatus.SERVICE_UNAVAILABLE
            return problem_response(record.problem or {}, request, retry_after=RETRY_AFTER_S if passes else None)
        case Status.CANCELLED:
            raise Cancelled("the generation was cancelled")
        case Status.QUEUED | Status.RUNNING:
            return await pending(record, service)


async def _document(record: Record, service: Service) -> AsyncIterator[bytes]:
    """A result in pieces; of one that is in the artifact store no more than a megabyte is held."""
    async for piece in records.pieces(service.redis, record.generation.id):
        if not record.stored:
            yield piece
            continue
        content = service.artifacts.read(text(piece))
        while part := await service.storage.call(next, content, b""):
            yield part


async def pending(record: Record, service: Service) -> JSONResponse:
    """202: come back later."""
    generation = record.generation
    waits = record.status is Status.QUEUED
    document = PendingResponse(
        id=generation.id,
        status=record.status,
        queue_position=await records.queue_position(service.redis, generation) if waits else None,
        n=generation.n,
        images_done=record.images,
        progress=max(record.progress, record.images / generation.n),
        created=utc(generation.created),
    )
    headers = {"Retry-After": str(POLL_AFTER_S), **_NOT_FOR_CACHES}
    return JSONResponse(document.model_dump(mode="json"), 202, headers)
