from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection
from kombu.message import Message
from redis import Redis

from core.backlog import Backlog, read_backlogs
from core.broker import make_celery
from core.connections import connect, connect_async
from core.queues import Queue, Task
from core.settings import Settings
from tests.generations import age, create, start

EMPTY = Backlog(0, 0, 0.0)


@pytest.fixture
def redis(redis_settings: Settings) -> Iterator[Redis]:
    with connect(redis_settings) as redis:
        yield redis


@pytest.fixture
def celery(redis_settings: Settings) -> Celery:
    return make_celery(redis_settings)


def take(connection: Connection, celery: Celery, queue: Queue, count: int) -> list[Message]:
    """Take messages as a worker does, without acknowledging them."""
    taken: list[Message] = []
    with connection.Consumer([celery.amqp.queues[queue]], callbacks=[lambda _, message: taken.append(message)]):
        while len(taken) < count:
            connection.drain_events(timeout=10)
    return taken


def queued(redis: Redis, job_id: str, *, ago_s: float) -> None:
    """Record when a job was queued, by Redis's clock."""
    redis.hset(f"fewstep:jobs:record:{job_id}", "hinted", redis.time()[0] - ago_s)


def test_messages_of_all_priorities_count_and_the_oldest_gives_the_age(celery: Celery, redis: Redis) -> None:
    assert read_backlogs(redis) == {Queue.SAMPLING: EMPTY, Queue.DISTILLATION: EMPTY, Queue.WEBHOOKS: EMPTY}
    queued(redis, "oldest", ago_s=70)
    queued(redis, "x", ago_s=20)
    celery.send_task(Task.DISTILL, args=["oldest", 0], priority=9)
    for priority in (0, 3, 4, 6, None):
        celery.send_task(Task.DISTILL, args=["x", 0], priority=priority)
    found = read_backlogs(redis)
    assert found[Queue.SAMPLING] == EMPTY
    assert found[Queue.DISTILLATION].waiting == 6
    assert 70 <= found[Queue.DISTILLATION].oldest_age_s < 80


@pytest.mark.anyio
async def test_of_generations_records_count_and_no_messages(
    celery: Celery, redis: Redis, redis_settings: Settings
) -> None:
    celery.send_task(Task.GENERATE, args=["x"])
    async with connect_async(redis_settings) as api:
        taken = await create(api)
        assert start(redis, "w1") == [taken]
        ids = [await create(api, priority=priority) for priority in ("interactive", "bulk")]
    for record_id, seconds in zip(ids, (20, 70), strict=True):
        age(redis, record_id, seconds)
    backlog = read_backlogs(redis)[Queue.SAMPLING]
    assert (backlog.waiting, backlog.in_hand) == (2, 1)
    assert 70 <= backlog.oldest_age_s < 80


def test_what_others_left_in_the_keys_is_counted_and_has_no_age(redis: Redis) -> None:
    for garbage in ("garbage", "[]", "{}", "7", b"\xff"):
        redis.lpush("fewstep:distillation", garbage)
        redis.hset("fewstep:unacked", garbage, garbage)
        backlog = read_backlogs(redis)[Queue.DISTILLATION]
        assert (backlog.in_hand, backlog.oldest_age_s) == (0, 0)
    assert backlog.waiting == 5


def test_what_a_worker_holds_unacknowledged_does_not_wait(celery: Celery, redis: Redis) -> None:
    for name in ("x", "y"):
        celery.send_task(Task.DISTILL, args=[name, 0])
        queued(redis, name, ago_s=5)
    with celery.connection_for_read() as connection:
        (held,) = take(connection, celery, Queue.DISTILLATION, 1)
        held.ack()
        take(connection, celery, Queue.DISTILLATION, 1)
        assert read_backlogs(redis)[Queue.DISTILLATION] == Backlog(0, 1, 0.0)
    # A consumer that leaves gives back what it has not acknowledged, and it is as old as it was.
    back = read_backlogs(redis)[Queue.DISTILLATION]
    assert (back.waiting, back.in_hand) == (1, 0)
    assert 5 <= back.oldest_age_s < 15
