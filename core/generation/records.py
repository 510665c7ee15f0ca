"""The record of each generation in Redis: the truth that API and workers share, and the queue between them.

``fewstep:generate:record:{id}`` is a hash: ``request`` (a `Generation` as JSON), ``created`` (when it was accepted, by
Redis's clock; of the times in ``request`` only the difference counts), ``status``, ``queue``, ``group`` (what it can be
sampled together with), ``n``, ``in_pieces``, ``channel`` (of who waits for it), ``attempts``, ``worker``, ``work``
(microseconds that a worker will take for it, estimated), ``images`` (how many are sampled, where the result grows in
pieces), ``stored`` (1 where these are files, as of ``core.generation.stored``), ``progress`` (share of the sampling
that is done), ``owner`` and ``webhook`` where it has them, and at the end ``result`` and ``facts``. The list
``fewstep:generate:pieces:{id}`` is a result in pieces, or where they are. The sorted sets ``fewstep:generate:queued``
and ``fewstep:generate:queued:bulk`` order what waits by age, the hash ``fewstep:generate:running`` says which worker
has what, ``fewstep:generate:load`` is the sum of the work of what has not ended. Every change of status is one atomic
script, so a cancelled generation can neither start nor succeed.

What a worker does with them is in ``core.generation.work``.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis as AsyncRedis

from core.connections import text
from core.generation.repeats import NOT_REPEATABLE, KeyUsed, Repeatable
from core.generation.request import Generation
from core.scripts import Script

QUEUED = "fewstep:generate:queued"
QUEUED_BULK = "fewstep:generate:queued:bulk"
RUNNING = "fewstep:generate:running"
LOAD = "fewstep:generate:load"
MAX_MESSAGE_BYTES = 2**18
"""Of a result that goes to who waits for it with the message of its end; a larger one is fetched from its record."""

_SUBMIT = Script("generation/shared", "generation/submit")
_CANCEL = Script("webhooks/shared", "generation/shared", "generation/cancel")


class Status(StrEnum):
    """Where a generation stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


PENDING = (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True)
class Ended:
    """How a generation ended: ``headers`` and ``result``, or ``problem``."""

    status: Status
    result: bytes
    headers: Mapping[str, str] | None = None
    problem: Mapping[str, Any] | None = None


class CatalogChanged(Exception):  # noqa: N818
    """The catalogue that a request was resolved with is not the newest."""


class Overloaded(Exception):  # noqa: N818
    """What is accepted already is too much.

    Attributes:
        load_s: Seconds of one worker's time that it takes, estimated.
    """

    def __init__(self, load_s: float) -> None:
        super().__init__(load_s)
        self.load_s = load_s


class QuotaUsed(Exception):  # noqa: N818
    """Its owner has asked for as many images today as they may.

    Attributes:
        left_s: Seconds until the day ends.
    """

    def __init__(self, left_s: float) -> None:
        super().__init__(left_s)
        self.left_s = left_s


@dataclass(frozen=True)
class Record:
    """What is known of a generation; ``result`` and ``headers`` if it succeeded, ``problem`` if it failed.

    ``images`` counts those that are sampled already, where the result grows in pieces; ``progress`` is the share of the
    sampling that is done, where that is told; ``stored``: the pieces of the result are keys of files.
    """

    status: Status
    generation: Generation
    result: bytes | str = b""
    headers: Mapping[str, str] | None = None
    problem: Mapping[str, Any] | None = None
    images: int = 0
    progress: float = 0
    stored: bool = False


def record_key(record_id: str) -> str:
    """Of its hash."""
    return f"fewstep:generate:record:{record_id}"


def pieces_key(record_id: str) -> str:
    """Of the list of the pieces of its result."""
    return f"fewstep:generate:pieces:{record_id}"


def channel_of(name: str) -> str:
    """Where the ends of generations are published that process ``name`` waits for."""
    return f"fewstep:generate:ended:{name}"


def accepted_at(generation: Generation, created: float) -> Generation:
    """The same by the clock that says it was accepted at ``created``."""
    shift = created - generation.created
    deadline = None if generation.deadline is None else generation.deadline + shift
    return generation.model_copy(update={"created": created, "deadline": deadline})


async def submit(
    redis: AsyncRedis,
    generation: Generation,
    *,
    ttl_s: float,
    channel: str = "",
    work_s: float = 0,
    most_load_s: float | None = None,
    version: int | None = None,
    images_per_day: int | None = None,
    repeatable: Repeatable | None = None,
    webhook: str = "",
) -> tuple[Generation, bool]:
    """Record a generation as queued, and wake a worker; harmless if that was done before.

    Args:
        redis: Where the records are.
        generation: What is asked.
        ttl_s: After so long without an end it is forgotten.
        channel: Where its end is to be published; empty: nobody waits for it.
        work_s: What it adds to the load until it ends.
        most_load_s: The largest load with which it is accepted.
        version: Of the catalogue that names what is asked.
        images_per_day: Most images that its owner may ask for in a day of UTC, by Redis's clock.
        repeatable: Under which key the request may come again.
        webhook: Where its end is to be told, as of ``core.webhooks.request``.

    Returns:
        The generation with its times, and whether a worker must be sent a message, since all sleep.

    Raises:
        KeyUsed: It was recorded before under another id.
        CatalogChanged: There is a newer catalogue.
        Overloaded: The load is larger.
        QuotaUsed: Its owner would have more images than that.
    """
    answer = await _SUBMIT.run_async(
        redis,
        generation.id,
        generation.model_dump_json(),
        generation.priority,
        generation.group,
        generation.n,
        int(generation.pieces),
        channel,
        round(1e6 * work_s),
        "" if most_load_s is None else round(1e6 * most_load_s),
        "" if version is None else version,
        int(1000 * ttl_s),
        generation.owner,
        "" if images_per_day is None else images_per_day,
        *(repeatable or NOT_REPEATABLE).arguments,
        webhook,
    )
    match answer:
        case [b"used", same, record_id]:
            raise KeyUsed(text(record_id), is_same=bool(same))
        case [b"changed"]:
            raise CatalogChanged
        case [b"load", load]:
            raise Overloaded(int(load) / 1e6)
        case [b"quota", left_s]:
            raise QuotaUsed(left_s)
    created, message = answer
    return accepted_at(generation, float(created)), bool(message)


async def read(redis: AsyncRedis, record_id: str) -> Record | None:
    """The record, or ``None`` if there is none or no more."""
    fields = await redis.hgetall(record_key(record_id))
    if not fields:
        return None
    generation = Generation.model_validate_json(fields[b"request"])
    return Record(
        status=Status(text(fields[b"status"])),
        generation=accepted_at(generation, float(fields[b"created"])),
        images=int(fields.get(b"images", 0)),
        progress=float(fields.get(b"progress", 0)),
        stored=fields.get(b"stored") == b"1",
        result=fields.get(b"result", b""),
        **_facts(fields),
    )


def _facts(fields: Mapping[Any, Any]) -> dict[str, Any]:
    if b"facts" in fields:
        return dict(json.loads(fields[b"facts"]))
    # Where an earlier release ended it, each is a field of its own.
    return {name: json.loads(fields[key]) for name in ("headers", "problem") if (key := name.encode()) in fields}


def ended(message: bytes) -> tuple[str, Ended | None]:
    """What a message on a channel says: whose end, and which; None where the record has that."""
    record_id, _, rest = message.partition(b"\n")
    if not rest:
        return text(record_id), None
    status, facts, result = rest.split(b"\n", 2)
    return text(record_id), Ended(Status(text(status)), result, **json.loads(facts))


async def status(redis: AsyncRedis, record_id: str) -> Status | None:
    """Where it stands; None: there is no such record (any more)."""
    found = await redis.hget(record_key(record_id), "status")
    return None if found is None else Status(text(found))


async def pieces(redis: AsyncRedis, record_id: str) -> AsyncIterator[bytes]:
    """The pieces of a result, or where they are, one at a time."""
    index = 0
    while (piece := await redis.lindex(pieces_key(record_id), index)) is not None:
        assert isinstance(piece, bytes)
        yield piece
        index += 1


async def queue_position(redis: AsyncRedis, generation: Generation) -> int | None:
    """How many wait before it; ``None`` if it does not wait."""
    async with redis.pipeline() as pipe:
        is_bulk = generation.priority == "bulk"
        pipe.zrank(QUEUED_BULK if is_bulk else QUEUED, generation.id)
        pipe.zcard(QUEUED)
        rank, interactive = await pipe.execute()
    if not isinstance(rank, int):
        return None
    return rank + interactive if is_bulk else rank


async def cancel(redis: AsyncRedis, record_id: str, *, ttl_s: float, owner: str = "") -> bool:
    """Cancel it, whatever its state; an ended one loses its result.

    Returns whether there was such a record, of this owner if one is named.
    """
    return await _CANCEL.run_async(redis, record_id, int(1000 * ttl_s), owner) is not None


async def forget(redis: AsyncRedis, record_id: str) -> None:
    """Remove the record of an ended generation."""
    await redis.unlink(record_key(record_id), pieces_key(record_id))
