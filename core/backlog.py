"""What lies in the queues of the broker, read from the keys that Celery's transport on Redis keeps.

A queue is a list for each priority: ``fewstep:{queue}`` for the highest, the others with a separator and their number
behind; messages come in on the left and go out on the right. What a worker has taken and not acknowledged lies in one
hash for all queues.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass

from kombu.transport.redis import Channel
from redis import Redis

from core.broker import KEY_PREFIX, SENT
from core.queues import Queue

UNACKNOWLEDGED = KEY_PREFIX + Channel.unacked_key


@dataclass(frozen=True)
class Backlog:
    """Messages of a queue, over all priorities.

    Attributes:
        waiting: Those that no worker has taken.
        unacknowledged: Those in the hands of a worker, or of one that died.
        oldest_age_s: Seconds since the oldest that waits was sent; 0 if none waits.
    """

    waiting: int
    unacknowledged: int
    oldest_age_s: float


def read_backlogs(redis: Redis) -> dict[Queue, Backlog]:
    """The backlog of every queue."""
    lists = [(queue, key) for queue in Queue for key in _lists(queue)]
    with redis.pipeline(transaction=False) as pipe:
        pipe.hvals(UNACKNOWLEDGED)
        for _, key in lists:
            pipe.llen(key)
            pipe.lindex(key, -1)
        taken, *found = pipe.execute()
    waiting: Counter[str] = Counter()
    sent: dict[str, float] = {}
    for (queue, _), length, oldest in zip(lists, found[::2], found[1::2], strict=True):
        waiting[queue] += length
        if oldest is not None:
            sent[queue] = min(_sent(oldest), sent.get(queue, float("inf")))
    in_hand = Counter(json.loads(entry)[2] for entry in taken)  # message, exchange, routing key
    now = time.time()
    return {queue: Backlog(waiting[queue], in_hand[queue], max(now - sent.get(queue, now), 0)) for queue in Queue}


def _lists(queue: Queue) -> list[str]:
    return [
        f"{KEY_PREFIX}{queue}{Channel.sep}{step}" if step else KEY_PREFIX + queue for step in Channel.priority_steps
    ]


def _sent(message: bytes) -> float:
    """When a message was sent; now for one that does not say."""
    return float(json.loads(message)["headers"].get(SENT, time.time()))
