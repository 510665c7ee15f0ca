from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection
from kombu.message import Message
from redis import Redis

from core.backlog import Backlog, read_backlogs
from core.broker import make_celery
from core.connections import connect
from core.queues import Queue, Task
from core.settings import Settings

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


def queued(redis: Redis, record_id: str, *, ago_s: float, field: str = "created", room: str = "generate") -> None:
    """Record when something was accepted, by Redis's clock."""
    redis.hset(f"fewstep:{room}:record:{record_id}", field, redis.time()[0] - ago_s)


def test_messages_of_all_priorities_count_and_the_oldest_gives_the_age(celery: Celery, redis: Redis) -> None:
    assert read_backlogs(redis) == {Queue.SAMPLING: EMPTY, Queue.DISTILLATION: EMPTY}
    queued(redis, "oldest", ago_s=70)
    queued(redis, "x", ago_s=20)
    queued(redis, "y", ago_s=40, field="hinted", room="jobs")
    celery.send_task(Task.GENERATE, args=["oldest"], priority=9)
    for priority in (0, 3, 4, 6, None):
        celery.send_task(Task.GENERATE, args=["x"], priority=priority)
    celery.send_task(Task.DISTILL, args=["y", 0])
    found = read_backlogs(redis)
    assert found[Queue.SAMPLING].waiting == 6
    assert 70 <= found[Queue.SAMPLING].oldest_age_s < 80
    assert found[Queue.DISTILLATION].waiting == 1
    assert 40 <= found[Queue.DISTILLATION].oldest_age_s < 50


def test_what_others_left_in_the_keys_is_counted_and_has_no_age(redis: Redis) -> None:
    for garbage in ("garbage", "[]", "{}", "7", b"\xff"):
        redis.lpush("fewstep:sampling", garbage)
        redis.hset("fewstep:unacked", garbage, garbage)
        backlog = read_backlogs(redis)[Queue.SAMPLING]
        assert (backlog.unacknowledged, backlog.oldest_age_s) == (0, 0)
    assert backlog.waiting == 5


def test_what_a_worker_holds_unacknowledged_does_not_wait(celery: Celery, redis: Redis) -> None:
    for _ in range(3):
        celery.send_task(Task.GENERATE, args=["x"])
    celery.send_task(Task.DISTILL, args=["y", 0])
    queued(redis, "y", ago_s=5, field="hinted", room="jobs")
    with celery.connection_for_read() as connection:
        held = take(connection, celery, Queue.SAMPLING, 3)
        take(connection, celery, Queue.DISTILLATION, 1)
        assert read_backlogs(redis) == {Queue.SAMPLING: Backlog(0, 3, 0.0), Queue.DISTILLATION: Backlog(0, 1, 0.0)}
        for message in held:
            message.ack()
        assert read_backlogs(redis) == {Queue.SAMPLING: EMPTY, Queue.DISTILLATION: Backlog(0, 1, 0.0)}
    # A consumer that leaves gives back what it has not acknowledged, and it is as old as it was.
    back = read_backlogs(redis)[Queue.DISTILLATION]
    assert (back.waiting, back.unacknowledged) == (1, 0)
    assert 5 <= back.oldest_age_s < 15
