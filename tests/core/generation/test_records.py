import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import connect, connect_async
from core.generation import records
from core.generation.records import Status
from core.settings import Settings
from tests.generations import age, create, make_generation, status

pytestmark = pytest.mark.anyio
PROBLEM = {"status": 500, "detail": "no"}


@pytest.fixture
def worker(redis_settings: Settings) -> Iterator[Redis]:
    with connect(redis_settings) as redis:
        yield redis


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis


def succeed(worker: Redis, record_id: str, name: str = "w1") -> bool:
    return records.succeed(worker, record_id, name, result=b"\x00\xff", headers={"A": "b"}, ttl_s=100)


async def test_from_queue_to_result(api: AsyncRedis, worker: Redis) -> None:
    generation = await records.create(api, make_generation(), ttl_s=100)
    assert await status(api, generation.id) is Status.QUEUED
    assert not await records.is_done(api, generation.id)

    started = records.start(worker, generation.id, "w1")
    assert started is not None
    assert started.model_copy(update={"created": generation.created}) == generation
    assert await status(api, generation.id) is Status.RUNNING
    assert await records.queue_position(api, generation.id) is None
    assert records.running(worker) == {generation.id: "w1"}

    assert succeed(worker, generation.id)
    record = await records.read(api, generation.id)
    assert record == records.Record(Status.SUCCEEDED, generation, b"\x00\xff", {"A": "b"})
    assert await records.is_done(api, generation.id)
    assert records.running(worker) == {}


async def test_failure_keeps_the_problem(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    records.start(worker, record_id, "w1")
    assert records.fail(worker, record_id, "w1", problem=PROBLEM, ttl_s=100)
    record = await records.read(api, record_id)
    assert record is not None
    assert (record.status, record.problem) == (Status.FAILED, PROBLEM)


async def test_a_generation_starts_once(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    assert records.start(worker, record_id, "w1") is not None
    assert records.start(worker, record_id, "w2") is None
    assert records.attempts(worker, record_id) == 1


async def test_a_cancelled_one_neither_starts_nor_ends(api: AsyncRedis, worker: Redis) -> None:
    waiting, running = await create(api), await create(api)
    records.start(worker, running, "w1")
    for record_id in (waiting, running):
        assert await records.cancel(api, record_id, ttl_s=100)
        assert records.start(worker, record_id, "w1") is None
        assert records.owners(worker, [record_id]) != ["w1"]
        assert not succeed(worker, record_id)
        assert not records.fail(worker, record_id, "w1", problem=PROBLEM, ttl_s=100)
        assert not records.put_back(worker, record_id, "w1")
        assert await status(api, record_id) is Status.CANCELLED
    assert records.running(worker) == {}
    assert records.waiting(worker, older_than_s=0) == []


async def test_cancelling_an_ended_one_drops_its_result(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    records.start(worker, record_id, "w1")
    succeed(worker, record_id)
    assert await records.cancel(api, record_id, ttl_s=100)
    record = await records.read(api, record_id)
    assert record is not None
    assert (record.status, record.result, record.headers) == (Status.CANCELLED, b"", None)


async def test_only_the_owner_ends_or_loses_it(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    records.start(worker, record_id, "w1")
    assert not records.put_back(worker, record_id, "w2")
    assert records.put_back(worker, record_id, "w1")
    assert records.start(worker, record_id, "w2") is not None
    assert not succeed(worker, record_id, "w1")
    assert succeed(worker, record_id, "w2")
    assert records.attempts(worker, record_id) == 2


async def test_times_are_by_redis_and_in_a_worker_durations(
    api: AsyncRedis, worker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's clock is an hour behind, the worker's a year ahead."""
    before = time.time()
    given = make_generation(created=before - 3600, deadline=before - 3600 + 60)
    generation = await records.create(api, given, ttl_s=100)
    assert before - 1 < generation.created < time.time() + 1
    assert generation.deadline == pytest.approx(generation.created + 60)
    assert (await records.create(api, given, ttl_s=100)).created == generation.created  # a try that came twice
    record = await records.read(api, generation.id)
    assert record is not None
    assert record.generation == generation
    age(worker, generation.id, 20)
    monkeypatch.setattr(time, "time", lambda: before + 365 * 86400)
    assert records.waiting(worker, older_than_s=30) == []
    assert records.waiting(worker, older_than_s=10) == [generation.id]
    started = records.start(worker, generation.id, "w1")
    assert started is not None
    assert started.deadline is not None
    assert 20 <= time.monotonic() - started.created < 25
    assert 35 < started.deadline - time.monotonic() <= 40


async def test_places_in_the_queue_are_by_age_and_kept_when_put_back(api: AsyncRedis, worker: Redis) -> None:
    young, old = await create(api), await create(api)
    age(worker, young, 1)
    age(worker, old, 60)
    assert await records.queue_position(api, old) == 0
    assert await records.queue_position(api, young) == 1
    records.start(worker, old, "w1")
    assert await records.queue_position(api, young) == 0
    records.put_back(worker, old, "w1")
    assert await records.queue_position(api, old) == 0
    assert records.waiting(worker, older_than_s=30) == [old]


async def test_ended_records_expire_and_queued_ones_keep_their_time(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    key = f"fewstep:generate:record:{record_id}"
    assert 99_000 < worker.pttl(key) <= 100_000
    records.start(worker, record_id, "w1")
    records.succeed(worker, record_id, "w1", result=b"", headers={}, ttl_s=0.05)
    time.sleep(0.1)
    assert await records.read(api, record_id) is None
    assert await records.is_done(api, record_id)
    assert not await records.cancel(api, record_id, ttl_s=1)


async def test_what_expired_in_the_queue_leaves_it(api: AsyncRedis, worker: Redis) -> None:
    kept, expired = await create(api), await create(api)
    await records.forget(api, expired)
    assert records.tidy(worker, [kept, expired]) == [kept]
    assert records.waiting(worker, older_than_s=-1) == [kept]
    assert records.start(worker, expired, "w1") is None


async def test_every_end_is_published(api: AsyncRedis, worker: Redis) -> None:
    async with api.pubsub() as subscription:
        await subscription.psubscribe(f"{records.DONE}*")
        assert (await subscription.get_message(timeout=5) or {})["type"] == "psubscribe"
        succeeded, failed, cancelled = [await create(api) for _ in range(3)]
        for record_id in (succeeded, failed):
            records.start(worker, record_id, "w1")
        succeed(worker, succeeded)
        records.fail(worker, failed, "w1", problem=PROBLEM, ttl_s=1)
        await records.cancel(api, cancelled, ttl_s=1)
        channels = [(await subscription.get_message(timeout=5) or {})["channel"].decode() for _ in range(3)]
    assert channels == [f"{records.DONE}{record_id}" for record_id in (succeeded, failed, cancelled)]


async def test_a_piece_that_is_sent_twice_is_there_once(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    records.start(worker, record_id, "w1")
    for piece, images in ((b"a", 256), (b"a", 256), (b"b", 300), (b"b", 300)):
        assert records.append(worker, record_id, "w1", piece, images=images, ttl_s=100)
    assert not records.append(worker, record_id, "w2", b"c", images=301, ttl_s=100)
    assert [piece async for piece in records.pieces(api, record_id)] == [b"a", b"b"]
