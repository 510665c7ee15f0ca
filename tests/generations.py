"""Generations for tests."""

import time
import uuid
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.generation import records, work
from core.generation.records import Status
from core.generation.request import Generation, MediaType


def make_generation(**changes: Any) -> Generation:  # noqa: ANN401
    """A generation of two images, changed as said."""
    facts = {
        "id": uuid.uuid4().hex,
        "model": "tiny",
        "checkpoint": "4-step",
        "steps": 4,
        "n": 2,
        "seed": 7,
        "format": "png",
        "layout": "images",
        "media_type": MediaType.JSON,
        "created": time.time(),
        "deadline": None,
        "request_id": "abc",
    }
    return Generation.model_validate(facts | changes)


async def create(api: AsyncRedis, **changes: object) -> str:
    """Record such a generation as queued; gives its id."""
    generation = make_generation(**changes)
    await records.submit(api, generation, ttl_s=100)
    return generation.id


async def status(api: AsyncRedis, record_id: str) -> Status:
    """Where a generation stands that must have a record."""
    record = await records.read(api, record_id)
    assert record is not None
    return record.status


def age(worker: Redis, record_id: str, seconds: float) -> None:
    """Let a record be older."""
    key = records.record_key(record_id)
    created = float(worker.hget(key, "created") or 0) - seconds
    worker.hset(key, "created", f"{created:.6f}")
    for queue in (records.QUEUED, records.QUEUED_BULK):
        worker.zadd(queue, {record_id: created}, xx=True)


def start(worker: Redis, name: str) -> list[str]:
    """Let a worker of that name take all that waits; gives the ids."""
    found: list[str] = []
    while taken := work.take(worker, name, work.Room(1000, bulk_images=1000, places=1000))[0]:
        found += [generation.id for generation in taken]
    return found
