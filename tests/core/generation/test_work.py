"""The queue: what a worker takes, in which order, and who is woken for it."""

import threading
import time
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core import presence
from core.generation import records, work
from core.generation.records import CatalogChanged, Overloaded
from core.generation.work import BELL, End, Room
from core.queues import Queue
from tests.generations import age, create, make_generation, start

pytestmark = pytest.mark.anyio


def take(worker: Redis, room: Room, name: str = "w1", *, waits: bool = False) -> list[str]:
    return [generation.id for generation in work.take(worker, name, room, waits=waits)[0]]


async def submit(api: AsyncRedis, **changes: object) -> bool:
    """Whether a message must be sent for it."""
    return (await records.submit(api, make_generation(**changes), ttl_s=100))[1]


def alive(worker: Redis, *names: str) -> None:
    for name in names:
        presence.announce(worker, Queue.SAMPLING, name, {}, heartbeat_s=10)


async def test_the_oldest_goes_first_and_what_goes_with_it_fills_the_room(api: AsyncRedis, worker: Redis) -> None:
    ids = [await create(api, checkpoint=checkpoint, n=1) for checkpoint in ("a", "b", "a", "b", "a", "a")]
    assert take(worker, Room(3)) == [ids[0], ids[2], ids[4]]
    assert take(worker, Room(3)) == [ids[1], ids[3]]
    assert take(worker, Room(3)) == [ids[5]]
    assert take(worker, Room(3)) == []


async def test_who_gathers_takes_only_what_goes_with_it(api: AsyncRedis, worker: Redis) -> None:
    first, second = await create(api, checkpoint="a"), await create(api, checkpoint="b")
    assert take(worker, Room(8, group="tiny/b 4")) == [second]
    assert take(worker, Room(8, group="tiny/b 4")) == []
    assert take(worker, Room(8)) == [first]


async def test_a_large_one_is_taken_whole_and_nothing_after_it(api: AsyncRedis, worker: Redis) -> None:
    small, large, last = [await create(api, n=n) for n in (1, 100, 1)]
    assert take(worker, Room(4)) == [small, large]
    assert take(worker, Room(4)) == [last]


async def test_bulk_waits_for_interactive_ones_and_fills_what_they_leave(api: AsyncRedis, worker: Redis) -> None:
    bulk = [await create(api, n=1, priority="bulk") for _ in range(3)]
    interactive = await create(api, n=1)
    assert take(worker, Room(3, bulk_images=0)) == [interactive]
    interactive = await create(api, n=1)
    assert take(worker, Room(3, bulk_images=3)) == [interactive, *bulk[:2]]
    assert take(worker, Room(3, bulk_images=3)) == bulk[2:]


async def test_one_in_pieces_needs_a_place_and_no_room(api: AsyncRedis, worker: Redis) -> None:
    facts: dict[str, object] = {"n": 5000, "priority": "bulk", "pieces": True}
    pieces = [await create(api, **facts) for _ in range(3)]
    small = await create(api, n=1, priority="bulk")
    assert take(worker, Room(4, bulk_images=4, places=2)) == [pieces[0], pieces[1], small]
    assert take(worker, Room(4, bulk_images=4)) == []
    assert take(worker, Room(4, places=1)) == pieces[2:]


async def test_places_in_the_queue_are_by_age_and_kept_when_put_back(api: AsyncRedis, worker: Redis) -> None:
    young, old, bulk = [make_generation(priority=priority) for priority in ("interactive", "interactive", "bulk")]
    for generation, seconds in ((young, 1), (old, 60), (bulk, 90)):
        await records.submit(api, generation, ttl_s=100)
        age(worker, generation.id, seconds)

    async def places() -> list[int | None]:
        return [await records.queue_position(api, generation) for generation in (young, old, bulk)]

    assert await places() == [1, 0, 2]
    assert take(worker, Room(1)) == [old.id]
    assert await places() == [0, None, 1]
    work.put_back(worker, old.id, "w1")
    assert await places() == [1, 0, 2]


async def test_what_expired_in_the_queue_leaves_it(api: AsyncRedis, worker: Redis) -> None:
    kept, expired = await create(api), await create(api)
    await records.forget(api, expired)
    work.settle(worker)
    assert worker.zrange(records.QUEUED, 0, -1) == [kept.encode()]
    also_expired = await create(api)
    await records.forget(api, also_expired)
    assert take(worker, Room(8)) == [kept]
    assert worker.zcard(records.QUEUED) == 0


async def test_of_what_expired_no_work_stays(api: AsyncRedis, worker: Redis) -> None:
    generation = make_generation()
    await records.submit(api, generation, ttl_s=100, work_s=3)
    work.settle(worker)
    assert await api.get(records.LOAD) == b"3000000"
    await records.forget(api, generation.id)
    work.settle(worker)
    assert await api.get(records.LOAD) is None


async def test_beyond_the_largest_load_nothing_is_accepted(api: AsyncRedis, worker: Redis) -> None:
    await records.submit(api, make_generation(), ttl_s=100, work_s=3, most_load_s=2)
    refused = make_generation()
    with pytest.raises(Overloaded) as error:
        await records.submit(api, refused, ttl_s=100, work_s=1, most_load_s=2)
    assert error.value.load_s == 3
    assert await records.read(api, refused.id) is None
    (ended,) = start(worker, "w1")
    work.finish(worker, "w1", [End(ended, records.Status.SUCCEEDED)], ttl_s=100)
    await records.submit(api, refused, ttl_s=100, work_s=1, most_load_s=2)


async def test_by_an_old_catalogue_nothing_is_accepted(api: AsyncRedis) -> None:
    await records.submit(api, make_generation(), ttl_s=100, version=0)
    await api.incr("fewstep:serving:version")
    generation = make_generation()
    with pytest.raises(CatalogChanged):
        await records.submit(api, generation, ttl_s=100, version=0)
    assert await records.read(api, generation.id) is None
    await records.submit(api, generation, ttl_s=100, version=1)


async def test_a_message_is_sent_only_where_all_sleep_and_once_a_second(api: AsyncRedis, worker: Redis) -> None:
    assert not await submit(api), "there is no worker: one that starts looks by itself"
    alive(worker, "w1", "w2")
    assert await submit(api)
    assert not await submit(api), "one is under way"
    worker.delete("fewstep:generate:message_sent")
    start(worker, "w1")
    assert await submit(api), "the other one sleeps"
    worker.delete("fewstep:generate:message_sent")
    start(worker, "w2")
    assert not await submit(api), "both look again when they are done"
    assert worker.llen(BELL) == 0


async def test_whoever_waits_hears_the_bell(api: AsyncRedis, worker: Redis) -> None:
    alive(worker, "w1", "w2")
    assert take(worker, Room(1), waits=True) == []
    heard: list[float] = []

    def wait() -> None:
        work.wait_for_bell(worker, 30)
        heard.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    assert not await submit(api), "w2 may sleep on"
    thread.join(30)
    assert heard
    assert len(start(worker, "w1")) == 1


async def test_more_than_one_worker_takes_wakes_another(api: AsyncRedis, worker: Redis) -> None:
    alive(worker, "w1", "w2")
    for _ in range(2):
        await submit(api, n=1)
    worker.delete("fewstep:generate:message_sent")
    assert work.take(worker, "w1", Room(1))[1], "by a message, since w2 sleeps"
    await submit(api, n=1)
    take(worker, Room(0), "w2", waits=True)
    worker.delete(BELL)
    assert not work.take(worker, "w1", Room(1))[1]
    assert worker.llen(BELL) == 1, "by the bell, since w2 waits"


async def test_nobody_falls_asleep_while_something_waits(api: AsyncRedis, worker: Redis) -> None:
    alive(worker, "w1")
    await submit(api, checkpoint="a")
    worker.delete("fewstep:generate:message_sent")
    assert take(worker, Room(1, group="tiny/c 4"), waits=True) == []
    assert not work.fall_asleep(worker, "w1")
    assert not await submit(api), "w1 is awake"
    start(worker, "w1")
    assert work.fall_asleep(worker, "w1")
    assert await submit(api)


async def test_who_leaves_is_believed_awake_no_more_and_knows_what_waits(api: AsyncRedis, worker: Redis) -> None:
    alive(worker, "w1", "w2")
    take(worker, Room(1), "w1", waits=True)
    await submit(api)
    assert work.leave(worker, "w1")
    assert await submit(api), "nobody hears the bell any more"
    start(worker, "w2")
    assert not work.leave(worker, "w2")


async def test_a_worker_that_died_awake_is_believed_no_longer_than_its_lease(
    api: AsyncRedis, worker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LEASE_S", 0.05)
    alive(worker, "w1", "w2")
    for name in ("w1", "w2"):
        take(worker, Room(1), name, waits=True)
    time.sleep(0.1)
    assert await submit(api)


OF_THE_QUEUE = ("queue", "group", "n", "in_pieces", "channel")
"""Fields that records of releases before the queue in Redis lack."""


async def test_records_of_an_earlier_release_are_taken_put_back_cancelled_and_ended(
    api: AsyncRedis, worker: Redis
) -> None:
    ids = [await create(api, n=2) for _ in range(3)]
    for record_id in ids:
        await api.hdel(records.record_key(record_id), *OF_THE_QUEUE)
    assert take(worker, Room(8)) == ids
    assert work.put_back(worker, ids[0], "w1")
    assert take(worker, Room(8)) == ids[:1]
    assert await records.cancel(api, ids[1], ttl_s=100)
    ends = [End(record_id, records.Status.SUCCEEDED, headers={"A": "b"}, result=b"x") for record_id in ids]
    assert work.finish(worker, "w1", ends, ttl_s=100) == [True, False, True]
    assert work.running(worker) == {}
    assert (await records.read(api, ids[0])).result == b"x"  # type: ignore[union-attr]


async def test_the_end_of_a_record_of_an_earlier_release_can_be_read(api: AsyncRedis, worker: Redis) -> None:
    record_id = await create(api)
    start(worker, "w1")
    old: dict[Any, Any] = {"status": "succeeded", "result": b"x", "headers": '{"A": "b"}'}
    await api.hset(records.record_key(record_id), mapping=old)
    record = await records.read(api, record_id)
    assert record is not None
    assert (record.result, record.headers, record.problem) == (b"x", {"A": "b"}, None)
