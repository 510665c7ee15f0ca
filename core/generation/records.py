"""The record of each generation in Redis: the truth that API and workers share.

``fewstep:generate:record:{id}`` is a hash: ``request`` (a `Generation` as JSON), ``created`` (when it was accepted, by
Redis's clock; of the times in ``request`` only the difference counts), ``status``, ``attempts``, ``worker``, ``work``
(microseconds that a worker will take for it, estimated), ``images`` (how many are sampled, where the result grows in
pieces), ``progress`` (share of the sampling that is done), and at the end ``result`` and ``headers``, or ``problem``.
The list ``fewstep:generate:pieces:{id}`` is a result in pieces. The sorted set ``fewstep:generate:queued`` orders what
waits by age, the hash ``fewstep:generate:running`` says which worker has what, ``fewstep:generate:load`` is the sum of
the work of what has not ended. Every change of status is one atomic script, so a cancelled generation can neither start
nor succeed. The end of each is published on ``fewstep:generate:done:{id}``.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import text
from core.generation.request import Generation
from core.scripts import load

QUEUED = "fewstep:generate:queued"
RUNNING = "fewstep:generate:running"
DONE = "fewstep:generate:done:"
LOAD = "fewstep:generate:load"

_CREATE = load("generation/create")
_MOVE = load("generation/move")
_APPEND = load("generation/append")
_SETTLE = load("generation/settle")
_TELL = load("generation/tell")


class Status(StrEnum):
    """Where a generation stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


PENDING = (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True)
class Record:
    """What is known of a generation; ``result`` and ``headers`` if it succeeded, ``problem`` if it failed.

    ``images`` counts those that are sampled already, where the result grows in pieces; ``progress`` is the share of the
    sampling that is done, where that is told.
    """

    status: Status
    generation: Generation
    result: bytes | str = b""
    headers: Mapping[str, str] | None = None
    problem: Mapping[str, Any] | None = None
    images: int = 0
    progress: float = 0


def record_key(record_id: str) -> str:
    """Of its hash."""
    return f"fewstep:generate:record:{record_id}"


def _pieces(record_id: str) -> str:
    return f"fewstep:generate:pieces:{record_id}"


def _move(
    record_id: str,
    source: tuple[Status, ...],
    target: Status,
    *,
    owner: str = "",
    worker: str = "",
    ttl_s: float = 0,
    fields: Mapping[str, str | bytes] | None = None,
) -> tuple[list[str], list[str | bytes]]:
    """Keys and arguments of the script: from one of ``source`` to ``target``, if ``owner`` (where given) has it."""
    pairs = [part for pair in (fields or {}).items() for part in pair]
    arguments: list[str | bytes] = [record_id, " ".join(source), target, owner, worker, str(int(1000 * ttl_s)), *pairs]
    return [record_key(record_id), QUEUED, RUNNING, LOAD, _pieces(record_id)], arguments


def _accepted_at(generation: Generation, created: float) -> Generation:
    """The same by the clock that says it was accepted at ``created``."""
    shift = created - generation.created
    deadline = None if generation.deadline is None else generation.deadline + shift
    return generation.model_copy(update={"created": created, "deadline": deadline})


# What the API does.


async def create(redis: AsyncRedis, generation: Generation, *, ttl_s: float, work_s: float = 0) -> Generation:
    """Record a generation as queued; without an end it is forgotten after ``ttl_s``. Gives it with its times.

    ``work_s`` is what it adds to the load until it ends.
    """
    arguments: list[str | int] = [generation.id, generation.model_dump_json(), round(1e6 * work_s), int(1000 * ttl_s)]
    created = await redis.register_script(_CREATE)([record_key(generation.id), QUEUED, LOAD], arguments)
    return _accepted_at(generation, float(created))


async def load_s(redis: AsyncRedis) -> float:
    """Seconds of one worker's time that all interactive generations still take, estimated."""
    return int(await redis.get(LOAD) or 0) / 1e6


async def read(redis: AsyncRedis, record_id: str) -> Record | None:
    """The record, or ``None`` if there is none or no more."""
    fields = await redis.hgetall(record_key(record_id))
    if not fields:
        return None
    return Record(
        status=Status(text(fields[b"status"])),
        generation=_accepted_at(Generation.model_validate_json(fields[b"request"]), float(fields[b"created"])),
        images=int(fields.get(b"images", 0)),
        progress=float(fields.get(b"progress", 0)),
        result=fields.get(b"result", b""),
        headers=json.loads(fields.get(b"headers", b"null")),
        problem=json.loads(fields.get(b"problem", b"null")),
    )


async def pieces(redis: AsyncRedis, record_id: str) -> AsyncIterator[bytes]:
    """The pieces of a result, one at a time."""
    index = 0
    while (piece := await redis.lindex(_pieces(record_id), index)) is not None:
        assert isinstance(piece, bytes)
        yield piece
        index += 1


async def is_done(redis: AsyncRedis, record_id: str) -> bool:
    """Whether it has ended, or is not there (any more)."""
    status = await redis.hget(record_key(record_id), "status")
    return status is None or Status(text(status)) not in PENDING


async def queue_position(redis: AsyncRedis, record_id: str) -> int | None:
    """How many wait before it; ``None`` if it does not wait."""
    rank = await redis.zrank(QUEUED, record_id)
    return rank if isinstance(rank, int) else None


async def cancel(redis: AsyncRedis, record_id: str, *, ttl_s: float) -> bool:
    """Cancel it, whatever its state; an ended one loses its result. Returns whether there was such a record."""
    keys, arguments = _move(record_id, tuple(Status), Status.CANCELLED, ttl_s=ttl_s)
    return await redis.register_script(_MOVE)(keys, arguments) is not None


async def forget(redis: AsyncRedis, record_id: str) -> None:
    """Remove the record of an ended generation."""
    await redis.unlink(record_key(record_id), _pieces(record_id))


# What a worker does.


def start(redis: Redis, record_id: str, worker: str) -> Generation | None:
    """Take a queued generation; ``None`` if it is not to be had: cancelled, ended, expired or in other hands.

    Its times are by this process's monotonic clock, so that a worker computes durations and never compares clocks.
    """
    keys, arguments = _move(record_id, (Status.QUEUED,), Status.RUNNING, worker=worker)
    found = redis.register_script(_MOVE)(keys, arguments)
    if found is None:
        return None
    request, waited_s = found
    return _accepted_at(Generation.model_validate_json(request), time.monotonic() - max(float(waited_s), 0))


def request(redis: Redis, record_id: str) -> Generation | None:
    """What is asked, or ``None`` if there is no such record any more."""
    document = redis.hget(record_key(record_id), "request")
    return None if document is None else Generation.model_validate_json(document)


def owners(redis: Redis, record_ids: list[str]) -> list[str | None]:
    """Which worker has each of them; ``None`` for one that is not to be done any more."""
    found: list[Any] = redis.hmget(RUNNING, record_ids)
    return [None if worker is None else text(worker) for worker in found]


def append(redis: Redis, record_id: str, worker: str, piece: bytes, *, images: int, ttl_s: float) -> bool:
    """Add to a result in pieces, and say how many images it has; returns whether it is still this worker's."""
    arguments: list[str | bytes] = [worker, piece, str(images), str(int(1000 * ttl_s))]
    return bool(redis.register_script(_APPEND)([record_key(record_id), _pieces(record_id)], arguments))


def tell(redis: Redis, shares: Mapping[str, float]) -> None:
    """Say of generations in hand, by id, which share of their sampling is done."""
    with redis.pipeline(transaction=False) as pipe:
        for record_id, share in shares.items():
            # Never of a record that is gone, which would come back without an end.
            pipe.eval(_TELL, 1, record_key(record_id), f"{share:.4f}")
        pipe.execute()


def settle(redis: Redis) -> None:
    """Set the load to nothing where there is nothing, since the work of records that expired was never taken off."""
    redis.register_script(_SETTLE)([QUEUED, RUNNING, LOAD], [])


def succeed(
    redis: Redis, record_id: str, worker: str, *, result: bytes, headers: Mapping[str, str], ttl_s: float
) -> bool:
    """Store the result, if it is still this worker's to end. Returns whether it was."""
    fields: dict[str, str | bytes] = {"result": result, "headers": json.dumps(dict(headers))}
    keys, arguments = _move(record_id, (Status.RUNNING,), Status.SUCCEEDED, owner=worker, ttl_s=ttl_s, fields=fields)
    return redis.register_script(_MOVE)(keys, arguments) is not None


def fail(redis: Redis, record_id: str, worker: str, *, problem: Mapping[str, Any], ttl_s: float) -> bool:
    """Store why it failed, if it is still this worker's to end. Returns whether it was."""
    keys, arguments = _move(
        record_id, (Status.RUNNING,), Status.FAILED, owner=worker, ttl_s=ttl_s, fields={"problem": json.dumps(problem)}
    )
    return redis.register_script(_MOVE)(keys, arguments) is not None


def put_back(redis: Redis, record_id: str, worker: str, *, counts: bool = True) -> bool:
    """Queue again what ``worker`` has left; as an attempt, unless it was none of its doing. Returns whether it did."""
    fields = {} if counts else {"attempts": "-1"}
    keys, arguments = _move(record_id, (Status.RUNNING,), Status.QUEUED, owner=worker, fields=fields)
    return redis.register_script(_MOVE)(keys, arguments) is not None


def attempts(redis: Redis, record_id: str) -> int:
    """How often it was started."""
    return int(redis.hget(record_key(record_id), "attempts") or 0)


def running(redis: Redis) -> dict[str, str]:
    """Which worker has which generation, by id."""
    return {text(record_id): text(worker) for record_id, worker in redis.hgetall(RUNNING).items()}


def waiting(redis: Redis, *, older_than_s: float) -> list[str]:
    """What has been queued for longer than that, oldest first."""
    seconds, microseconds = redis.time()
    found: list[Any] = redis.zrange(QUEUED, "-inf", seconds + microseconds / 1e6 - older_than_s, byscore=True)
    return [text(record_id) for record_id in found]


def tidy(redis: Redis, record_ids: list[str]) -> list[str]:
    """Those whose record is still there; the others leave the queue."""
    if not record_ids:
        return []
    with redis.pipeline(transaction=False) as pipe:
        for record_id in record_ids:
            pipe.exists(record_key(record_id))
        there = pipe.execute()
    if expired := [record_id for record_id, found in zip(record_ids, there, strict=True) if not found]:
        redis.zrem(QUEUED, *expired)
    return [record_id for record_id, found in zip(record_ids, there, strict=True) if found]
