from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core import presence
from core.connections import connect, connect_async
from core.generation import records, work
from core.generation.records import Status
from core.queues import Queue
from core.settings import Settings
from tests.generations import create, start, status
from worker.sampling.sweep import MAX_ATTEMPTS, REDELIVERIES, sweep

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis


@pytest.fixture
def redis(redis_settings: Settings) -> Iterator[Redis]:
    with connect(redis_settings) as redis:
        yield redis


def sweep_as_w1(redis: Redis, in_hand: set[str]) -> None:
    sweep(redis, work.running(redis), in_hand, worker="w1", result_ttl_s=100)


async def test_what_a_dead_worker_left_is_queued_again(api: AsyncRedis, redis: Redis) -> None:
    for name in ("w1", "w2"):
        presence.announce(redis, Queue.SAMPLING, name, {}, heartbeat_s=10)
    found: list[str] = []
    for owner in ("w0", "w2", "w1", "w1"):
        found.append(await create(api))
        assert start(redis, owner) == found[-1:]
    of_the_dead, of_the_living, in_hand, dropped = found
    before = REDELIVERIES._value.get()
    sweep_as_w1(redis, {in_hand})
    assert REDELIVERIES._value.get() == before + 2
    assert await status(api, of_the_dead) is Status.QUEUED
    assert await status(api, dropped) is Status.QUEUED
    assert await status(api, of_the_living) is Status.RUNNING
    assert await status(api, in_hand) is Status.RUNNING
    sweep_as_w1(redis, {in_hand})
    assert REDELIVERIES._value.get() == before + 2
    assert start(redis, "w2") == [of_the_dead, dropped], "by age, as before"


async def test_what_kills_every_worker_is_given_up(api: AsyncRedis, redis: Redis) -> None:
    record_id = await create(api)
    for attempt in range(MAX_ATTEMPTS):
        assert start(redis, f"dead-{attempt}") == [record_id]
        sweep_as_w1(redis, set())
    record = await records.read(api, record_id)
    assert record is not None
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert "3 attempts" in record.problem["detail"]


async def test_what_this_worker_let_go_of_is_no_attempt(api: AsyncRedis, redis: Redis) -> None:
    record_id = await create(api)
    for _ in range(MAX_ATTEMPTS + 1):
        assert start(redis, "w1") == [record_id]
        sweep_as_w1(redis, set())
        assert await status(api, record_id) is Status.QUEUED
    assert work.attempts(redis, record_id) == 0
