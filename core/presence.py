"""Which workers are there: each signs a key that expires unless it signs again.

``fewstep:workers:{queue}`` is the set of workers that take work from a queue, ``fewstep:worker:{name}`` each one's sign
of life. A worker that drains has left the set but still lives, so what it has in hand is not taken for lost.
"""

import json
import socket
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import text
from core.queues import Queue

MISSED_HEARTBEATS = 3
FAILURE_KNOWN_S = 300
PROBE = "fewstep:probe"
"""Key that is written only to see whether Redis takes what is written."""


def _members(queue: Queue) -> str:
    return f"fewstep:workers:{queue}"


def _failure(queue: Queue) -> str:
    return f"fewstep:workers:{queue}:failure"


def _life(name: str) -> str:
    return f"fewstep:worker:{name}"


def announce(redis: Redis, queue: Queue, name: str, facts: dict[str, Any], *, heartbeat_s: float) -> None:
    """Say that worker ``name`` takes work from ``queue``; holds for three heartbeats."""
    with redis.pipeline() as pipe:
        pipe.set(_life(name), json.dumps(facts), px=int(1000 * MISSED_HEARTBEATS * heartbeat_s))
        pipe.sadd(_members(queue), name)
        pipe.execute()


def could_not_start(redis: Redis, queue: Queue, words: str) -> None:
    """Say why the worker of a queue on this machine could not start; known for as long as it may be tried again."""
    redis.set(_failure(queue), f"{host()}: {words}", ex=FAILURE_KNOWN_S)


async def failure(redis: AsyncRedis, queue: Queue) -> str:
    """Why a worker of a queue could not start lately; empty: none has said so."""
    found = await redis.get(_failure(queue))
    return "" if found is None else text(found)


def drain(redis: Redis, queue: Queue, name: str, *, heartbeat_s: float) -> None:
    """Say that worker ``name`` still lives but takes no more work."""
    with redis.pipeline() as pipe:
        pipe.pexpire(_life(name), int(1000 * MISSED_HEARTBEATS * heartbeat_s))
        pipe.srem(_members(queue), name)
        pipe.execute()


def leave(redis: Redis, queue: Queue, name: str) -> None:
    """Say that worker ``name`` is gone."""
    with redis.pipeline() as pipe:
        pipe.delete(_life(name))
        pipe.srem(_members(queue), name)
        pipe.execute()


def dead(redis: Redis, names: set[str]) -> set[str]:
    """Those of ``names`` without a sign of life."""
    ordered = sorted(names)
    lives = redis.mget([_life(name) for name in ordered]) if ordered else []
    return {name for name, life in zip(ordered, lives, strict=True) if life is None}


def host() -> str:
    """The name of this machine in the facts of its workers."""
    return socket.gethostname()


def facts(redis: Redis, queue: Queue) -> list[dict[str, Any]]:
    """The facts of each living worker that takes work from ``queue``."""
    return list(facts_by_name(redis, queue).values())


def facts_by_name(redis: Redis, queue: Queue) -> dict[str, dict[str, Any]]:
    """The same by the worker's name."""
    names = sorted(text(name) for name in redis.smembers(_members(queue)))
    lives = redis.mget([_life(name) for name in names]) if names else []
    return {name: json.loads(life) for name, life in zip(names, lives, strict=True) if life is not None}


async def workers(redis: AsyncRedis, queue: Queue) -> dict[str, dict[str, Any]]:
    """The facts of each worker that takes work from ``queue``, by name; forgets those that died."""
    names = sorted(text(name) for name in await redis.smembers(_members(queue)))
    if not names:
        return {}
    lives = await redis.mget([_life(name) for name in names])
    if gone := [name for name, life in zip(names, lives, strict=True) if life is None]:
        await redis.srem(_members(queue), *gone)
    return {name: json.loads(life) for name, life in zip(names, lives, strict=True) if life is not None}
