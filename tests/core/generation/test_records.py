import time

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.generation import records, work
from core.generation.records import Ended, Record, Status
from core.generation.work import End, Room
from tests.generations import age, create, make_generation, start, status

pytestmark = pytest.mark.anyio
PROBLEM = {"status": 500, "detail": "no"}


def succeed(
    worker: Redis, record_id: str, name: str = "w1", *, ttl_s: float = 100, result: bytes = b"\x00\xff"
) -> bool:
    end = End(record_id, Status.SUCCEEDED, headers={"A": "b"}, result=result)
    return work.finish(worker, name, [end], ttl_s=ttl_s) == [True]


def fail(worker: Redis, record_id: str, name: str = "w1") -> bool:
    return work.finish(worker, name, [End(record_id, Status.FAILED, problem=PROBLEM)], ttl_s=100) == [True]


async def test_from_queue_to_result(api: AsyncRedis, worker: Redis) -> None:
    generation, _ = await records.submit(api, make_generation(), ttl_s=100)
    assert await status(api, generation.id) is Status.QUEUED
    (started,), _ = work.take(worker, "w1", Room(1))
    assert started.model_copy(update={"created": generation.created}) == generation
    assert await status(api, generation.id) is Status.RUNNING
    assert await records.queue_position(api, generation) is None
    assert work.running(worker) == {generation.id: "w1"}
    assert succeed(worker, generation.id)
    record = await records.read(api, generation.id)
    assert record == Record(Status.SUCCEEDED, generation, b"\x00\xff", {"A": "b"})
    assert work.running(worker) == {}


async def test_failure_keeps_the_problem(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    start(worker, "w1")
    assert fail(worker, record_id)
    record = await records.read(api, record_id)
    assert record is not None
    assert (record.status, record.problem) == (Status.FAILED, PROBLEM)


async def test_a_generation_starts_once(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    assert start(worker, "w1") == [record_id]
    assert start(worker, "w2") == []
    assert work.attempts(worker, record_id) == 1


async def test_a_cancelled_one_neither_starts_nor_ends(api: AsyncRedis, worker: Redis) -> None:
    running = await create(api)
    start(worker, "w1")
    waiting = await create(api)
    for record_id in (waiting, running):
        assert await records.cancel(api, record_id, ttl_s=100)
        assert work.owners(worker, [record_id]) == [None]
        assert not succeed(worker, record_id)
        assert not fail(worker, record_id)
        assert not work.put_back(worker, record_id, "w1")
        assert await status(api, record_id) is Status.CANCELLED
    assert start(worker, "w1") == []
    assert work.running(worker) == {}


async def test_cancelling_an_ended_one_drops_its_result(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    start(worker, "w1")
    succeed(worker, record_id)
    assert await records.cancel(api, record_id, ttl_s=100)
    record = await records.read(api, record_id)
    assert record is not None
    assert (record.status, record.result, record.headers) == (Status.CANCELLED, b"", None)


async def test_only_the_owner_ends_or_loses_it(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    start(worker, "w1")
    assert not work.put_back(worker, record_id, "w2")
    assert work.put_back(worker, record_id, "w1")
    assert start(worker, "w2") == [record_id]
    assert not succeed(worker, record_id, "w1")
    assert succeed(worker, record_id, "w2")
    assert work.attempts(worker, record_id) == 2


async def test_many_end_at_once_each_by_itself(api: AsyncRedis, worker: Redis) -> None:
    good, cancelled, bad = [await create(api) for _ in range(3)]
    start(worker, "w1")
    await records.cancel(api, cancelled, ttl_s=100)
    ends = [
        End(good, Status.SUCCEEDED, result=b"good"),
        End(cancelled, Status.SUCCEEDED, result=b"cancelled"),
        End(bad, Status.FAILED, problem=PROBLEM),
    ]
    assert work.finish(worker, "w1", ends, ttl_s=100) == [True, False, True]
    found = [await records.read(api, record_id) for record_id in (good, cancelled, bad)]
    assert [(record.result, record.status) for record in found if record] == [
        (b"good", Status.SUCCEEDED),
        (b"", Status.CANCELLED),
        (b"", Status.FAILED),
    ]


async def test_who_waits_gets_the_end_with_its_message_and_no_record_stays(api: AsyncRedis, worker: Redis) -> None:
    channel = records.channel_of("me")
    async with api.pubsub() as subscription:
        await subscription.subscribe(channel)
        assert (await subscription.get_message(timeout=5) or {})["type"] == "subscribe"

        async def told() -> tuple[str, Ended | None]:
            return records.ended((await subscription.get_message(timeout=5) or {})["data"])

        generations = [make_generation() for _ in range(4)]
        for generation in generations:
            await records.submit(api, generation, ttl_s=100, channel=channel, work_s=1)
        small, large, bad, cancelled = (generation.id for generation in generations)
        start(worker, "w1")
        assert succeed(worker, small, result=b"1\n2\n\x00")
        assert await told() == (small, Ended(Status.SUCCEEDED, b"1\n2\n\x00", {"A": "b"}))
        assert await records.read(api, small) is None
        assert succeed(worker, large, result=bytes(records.MAX_MESSAGE_BYTES + 1))
        assert await told() == (large, None)
        record = await records.read(api, large)
        assert record is not None
        assert len(record.result) == records.MAX_MESSAGE_BYTES + 1
        assert fail(worker, bad)
        assert await told() == (bad, Ended(Status.FAILED, b"", problem=PROBLEM))
        assert await records.cancel(api, cancelled, ttl_s=100)
        assert await told() == (cancelled, None)
    assert int(await api.get(records.LOAD) or 0) == 0


async def test_where_nobody_hears_it_the_record_has_the_end_until_it_expires(api: AsyncRedis, worker: Redis) -> None:
    generation = make_generation()
    await records.submit(api, generation, ttl_s=50, channel=records.channel_of("dead"))
    start(worker, "w1")
    assert succeed(worker, generation.id)
    assert await status(api, generation.id) is Status.SUCCEEDED
    assert worker.pttl(records.record_key(generation.id)) <= 50_000


async def test_times_are_by_redis_and_in_a_worker_durations(
    api: AsyncRedis, worker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's clock is an hour behind, the worker's a year ahead."""
    before = time.time()
    given = make_generation(created=before - 3600, deadline=before - 3600 + 60)
    generation, _ = await records.submit(api, given, ttl_s=100)
    assert before - 1 < generation.created < time.time() + 1
    assert generation.deadline == pytest.approx(generation.created + 60)
    assert (await records.submit(api, given, ttl_s=100))[0].created == generation.created  # a try that came twice
    record = await records.read(api, generation.id)
    assert record is not None
    assert record.generation == generation
    age(worker, generation.id, 20)
    monkeypatch.setattr(time, "time", lambda: before + 365 * 86400)
    (started,), _ = work.take(worker, "w1", Room(1))
    assert started.deadline is not None
    assert 20 <= time.monotonic() - started.created < 25
    assert 35 < started.deadline - time.monotonic() <= 40


async def test_ended_records_expire_and_queued_ones_keep_their_time(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    key = records.record_key(record_id)
    assert 99_000 < worker.pttl(key) <= 100_000
    start(worker, "w1")
    succeed(worker, record_id, ttl_s=0.05)
    time.sleep(0.1)
    assert await records.read(api, record_id) is None
    assert await records.status(api, record_id) is None
    assert not await records.cancel(api, record_id, ttl_s=1)


async def test_a_piece_that_is_sent_twice_is_there_once(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    start(worker, "w1")
    for piece, images in ((b"a", 256), (b"a", 256), (b"b", 300), (b"b", 300)):
        assert work.append(worker, record_id, "w1", piece, images=images, ttl_s=100)
    assert not work.append(worker, record_id, "w2", b"c", images=301, ttl_s=100)
    assert [piece async for piece in records.pieces(api, record_id)] == [b"a", b"b"]
