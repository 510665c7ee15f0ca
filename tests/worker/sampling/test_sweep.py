from collections.abc import AsyncIterator

import pytest
from celery import Celery
from redis.asyncio import Redis as AsyncRedis

from core import presence
from core.broker import make_celery, queue_length
from core.connections import connect, connect_async
from core.generation import records
from core.generation.records import Status
from core.queues import Queue
from core.settings import Settings
from tests.generations import age, create, status
from worker.sampling.sweep import LOST_AFTER_S, LOST_IN_TROUBLE_S, MAX_ATTEMPTS, REDELIVERIES, sweep

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis


@pytest.fixture
def celery(redis_settings: Settings) -> Celery:
    return make_celery(redis_settings)


def swept(settings: Settings, celery: Celery, in_hand: set[str], *, lost_after_s: float = LOST_AFTER_S) -> int:
    """Sweep as worker w1. Returns the messages that wait then."""
    with connect(settings) as redis:
        sweep(redis, celery, worker="w1", in_hand=in_hand, waiting=set(), result_ttl_s=100, lost_after_s=lost_after_s)
    return queue_length(celery, Queue.SAMPLING)


async def test_what_a_dead_worker_left_is_queued_again(
    api: AsyncRedis, redis_settings: Settings, celery: Celery
) -> None:
    with connect(redis_settings) as redis:
        for name in ("w1", "w2"):
            presence.announce(redis, Queue.SAMPLING, name, {}, heartbeat_s=10)
        of_the_dead, of_the_living, in_hand, dropped = [await create(api) for _ in range(4)]
        for record_id, owner in ((of_the_dead, "w0"), (of_the_living, "w2"), (in_hand, "w1"), (dropped, "w1")):
            records.start(redis, record_id, owner)
    before = REDELIVERIES._value.get()
    assert swept(redis_settings, celery, {in_hand}) == 2
    assert REDELIVERIES._value.get() == before + 2
    assert await status(api, of_the_dead) is Status.QUEUED
    assert await status(api, dropped) is Status.QUEUED
    assert await status(api, of_the_living) is Status.RUNNING
    assert await status(api, in_hand) is Status.RUNNING
    assert swept(redis_settings, celery, {in_hand}) == 2


async def test_what_kills_every_worker_is_given_up(api: AsyncRedis, redis_settings: Settings, celery: Celery) -> None:
    record_id = await create(api)
    for attempt in range(MAX_ATTEMPTS):
        with connect(redis_settings) as redis:
            assert records.start(redis, record_id, f"dead-{attempt}") is not None
        swept(redis_settings, celery, set())
    record = await records.read(api, record_id)
    assert record is not None
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert "3 attempts" in record.problem["detail"]


async def test_a_lost_message_is_sent_again_once_the_queue_is_empty(
    api: AsyncRedis, redis_settings: Settings, celery: Celery
) -> None:
    fresh = await create(api)
    assert swept(redis_settings, celery, set()) == 0
    stale, expired = await create(api), await create(api)
    with connect(redis_settings) as redis:
        for record_id in (stale, expired):
            age(redis, record_id, 3600)
    await records.forget(api, expired)
    assert swept(redis_settings, celery, set()) == 1
    assert swept(redis_settings, celery, set()) == 1
    assert await status(api, fresh) is await status(api, stale) is Status.QUEUED


async def test_what_this_worker_let_go_of_is_no_attempt_and_after_trouble_nothing_waits_for_long(
    api: AsyncRedis, redis_settings: Settings, celery: Celery
) -> None:
    record_id = await create(api)
    with connect(redis_settings) as redis:
        for _ in range(MAX_ATTEMPTS + 1):
            assert records.start(redis, record_id, "w1") is not None
            swept(redis_settings, celery, set())
            assert await status(api, record_id) is Status.QUEUED
        assert records.attempts(redis, record_id) == 0
        redis.delete("fewstep:sampling")
        age(redis, record_id, LOST_IN_TROUBLE_S + 1)
        assert swept(redis_settings, celery, set()) == 0
        assert swept(redis_settings, celery, set(), lost_after_s=LOST_IN_TROUBLE_S) == 1
