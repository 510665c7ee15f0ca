"""Finds generations that nobody works on: left by a dead worker, or whose message was lost with a connection."""

from collections.abc import Callable

from celery import Celery
from redis import Redis

from core import presence
from core.broker import queue_length
from core.errors import FewstepError
from core.generation import records
from core.generation.request import task_of
from core.log import get_logger
from core.queues import Queue
from worker import metrics

MAX_ATTEMPTS = 3
"""A generation that took so many workers with it is the cause, not the victim."""
LOST_AFTER_S = 30.0
"""A generation that waits for so long while the queue is empty has lost its message."""
LOST_IN_TROUBLE_S = 1.0
"""The same right after Redis was away or refused: then messages get lost between the list and the worker."""

REDELIVERIES = metrics.REDELIVERIES.labels(Queue.SAMPLING)

log = get_logger(__name__)


def sweep(
    redis: Redis,
    celery: Celery,
    *,
    worker: str,
    in_hand: set[str],
    waiting: set[str],
    result_ttl_s: float,
    lost_after_s: float = LOST_AFTER_S,
) -> None:
    """Queue again what has no owner; harmless at any time and from any number of workers at once.

    Args:
        redis: Where the records are.
        celery: What sends messages.
        worker: The name of this one.
        in_hand: What it works on.
        waiting: Bulk requests that wait within it. Messages for what waits in others are sent again, and so an idle
            worker comes by them.
        result_ttl_s: How long a problem is kept.
        lost_after_s: How long a generation may wait while the queue is empty.
    """
    running = records.running(redis)
    dead = presence.dead(redis, set(running.values()) - {worker})
    for record_id, owner in running.items():
        if owner in dead or (owner == worker and record_id not in in_hand):
            # What this worker has let go of did not end it.
            most = None if owner == worker else MAX_ATTEMPTS
            _rescue(redis, record_id, owner, lambda lost: _send(redis, celery, lost), most, result_ttl_s=result_ttl_s)
    old = records.tidy(redis, records.waiting(redis, older_than_s=lost_after_s))
    lost = [record_id for record_id in old if record_id not in waiting]
    if lost and not queue_length(celery, Queue.SAMPLING):
        log.warning("messages lost, sent again", count=len(lost))
        for record_id in lost:
            _send(redis, celery, record_id)


def _rescue(
    redis: Redis, record_id: str, owner: str, send: Callable[[str], None], most: int | None, *, result_ttl_s: float
) -> None:
    if most is not None and records.attempts(redis, record_id) >= most:
        problem = FewstepError(f"given up after {most} attempts, each of which ended its worker").problem()
        records.fail(redis, record_id, owner, problem=problem, ttl_s=result_ttl_s)
        log.error("given up", id=record_id, attempts=most)
    elif records.put_back(redis, record_id, owner, counts=most is not None):
        log.warning("left by its worker, queued again", id=record_id, owner=owner)
        send(record_id)


def _send(redis: Redis, celery: Celery, record_id: str) -> None:
    generation = records.request(redis, record_id)
    if generation is not None:
        celery.send_task(task_of(generation), args=[record_id])
        REDELIVERIES.inc()
