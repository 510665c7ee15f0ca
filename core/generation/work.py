"""What a worker does with the records of generations: takes them, ends them, and picks up what others left.

A worker that has something to do looks for more by itself; one that has nothing waits for the bell, a list in Redis
that ``submit`` rings, and after a while sleeps until a Celery message wakes it. What each of them does
stands in Redis too, so that the script that lets a generation wait knows whom to wake: only where all sleep, a message
is sent.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis

from core.connections import text
from core.generation.records import (
    MAX_MESSAGE_BYTES,
    RUNNING,
    Status,
    accepted_at,
    record_key,
)
from core.generation.request import Generation
from core.scripts import Argument, Script

BELL = "fewstep:generate:bell"
LEASE_S = 5.0
"""How long a worker is believed to look again by itself, after it looked."""

_TAKE = Script("generation/shared", "generation/take")
_SLEEP = Script("generation/shared", "generation/sleep")
_FINISH = Script("webhooks/shared", "generation/shared", "generation/finish")
_PUT_BACK = Script("generation/shared", "generation/put_back")
_APPEND = Script("generation/shared", "generation/append")
_TELL = Script("generation/shared", "generation/tell")
_SETTLE = Script("generation/shared", "generation/settle")


@dataclass(frozen=True)
class Room:
    """What a worker can take.

    Attributes:
        images: So many, and all of a generation's if it takes the last.
        bulk_images: Of them those that bulk generations may have.
        places: Generations with a result in pieces.
        group: What all must be sampled together with; empty: whatever the oldest is.
    """

    images: int
    bulk_images: int = 0
    places: int = 0
    group: str = ""


@dataclass(frozen=True)
class End:
    """How a generation ended: ``headers`` and the result, or ``problem``."""

    record_id: str
    status: Literal[Status.SUCCEEDED, Status.FAILED]
    headers: Mapping[str, str] | None = None
    problem: Mapping[str, Any] | None = None
    result: bytes = b""


def take(redis: Redis, worker: str, room: Room, *, waits: bool = False) -> tuple[list[Generation], bool]:
    """What to do next, oldest first; and whether another worker must be sent a message, since there is more.

    Their times are by this process's monotonic clock, so that a worker computes durations and never compares clocks.

    Args:
        redis: Where the records are.
        worker: Who takes them.
        room: For how much.
        waits: Whether it then waits for the bell if there is nothing.
    """
    lease_ms = int(1000 * LEASE_S)
    message, *found = _TAKE.run(
        redis, worker, room.images, room.bulk_images, room.places, room.group, lease_ms, int(waits)
    )
    now = time.monotonic()
    taken = [
        accepted_at(Generation.model_validate_json(request), now - max(float(waited_s), 0))
        for request, waited_s in zip(found[1::3], found[2::3], strict=True)
    ]
    return taken, bool(message)


def fall_asleep(redis: Redis, worker: str) -> bool:
    """Whether a worker that has nothing to do may look for nothing any more, until a message wakes it."""
    return bool(_SLEEP.run(redis, worker, 0))


def leave(redis: Redis, worker: str) -> bool:
    """Note that a worker looks for nothing any more. Returns whether something waits, of which others must be told."""
    return not _SLEEP.run(redis, worker, 1)


def wait_for_bell(redis: Redis, seconds: float) -> None:
    """Return when it rings, or after so long."""
    redis.blpop([BELL], timeout=seconds)


def finish(
    redis: Redis, worker: str, ends: Sequence[End], *, ttl_s: float, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> list[bool]:
    """End generations, all at once, those that are still this worker's. Returns which of them were."""
    arguments: list[Argument] = [worker, int(1000 * ttl_s), max_message_bytes]
    for end in ends:
        facts = {"problem": dict(end.problem)} if end.problem is not None else {"headers": dict(end.headers or {})}
        arguments += [end.record_id, end.status, json.dumps(facts), end.result]
    return [bool(was_its) for was_its in _FINISH.run(redis, *arguments)]


def put_back(redis: Redis, record_id: str, worker: str, *, counts: bool = True) -> bool:
    """Queue again what ``worker`` has left; as an attempt, unless it was none of its doing. Returns whether it did."""
    return _PUT_BACK.run(redis, record_id, worker, 0 if counts else -1) is not None


def append(
    redis: Redis, record_id: str, worker: str, piece: bytes | str, *, images: int, ttl_s: float, stored: bool = False
) -> bool:
    """Add to a result in pieces, and say how many images it has; returns whether it is still this worker's.

    ``stored``: what is added is the key of a file, as of ``core.generation.stored``.
    """
    return bool(_APPEND.run(redis, record_id, worker, piece, images, int(1000 * ttl_s), int(stored)))


def tell(redis: Redis, shares: Mapping[str, float]) -> None:
    """Say of generations in hand, by id, which share of their sampling is done."""
    for record_id, share in shares.items():
        _TELL.run(redis, record_id, f"{share:.4f}")


def settle(redis: Redis) -> None:
    """Forget what expired, and set the load to nothing where there is nothing: the work of that was never taken off."""
    _SETTLE.run(redis)


def attempts(redis: Redis, record_id: str) -> int:
    """How often it was started."""
    return int(redis.hget(record_key(record_id), "attempts") or 0)


def owners(redis: Redis, record_ids: list[str]) -> list[str | None]:
    """Which worker has each of them; ``None`` for one that is not to be done any more."""
    found: list[Any] = redis.hmget(RUNNING, record_ids)
    return [None if worker is None else text(worker) for worker in found]


def running(redis: Redis) -> dict[str, str]:
    """Which worker has which generation, by id."""
    return {text(record_id): text(worker) for record_id, worker in redis.hgetall(RUNNING).items()}
