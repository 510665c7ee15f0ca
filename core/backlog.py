"""What lies in the queues of the broker, read from the keys that Celery's transport on Redis keeps.

A queue is a list for each priority: ``fewstep:{queue}`` for the highest, the others with a separator and their number
behind; messages come in on the left and go out on the right. What a worker has taken and not acknowledged lies in one
hash for all queues.
"""

import json
from collections import Counter
from dataclasses import dataclass

from kombu.transport.redis import Channel
from redis import Redis

from core.broker import KEY_PREFIX
from core.generation import records
from core.jobs import store
from core.messages import read_message
from core.queues import Queue, Task

UNACKNOWLEDGED = KEY_PREFIX + Channel.unacked_key


@dataclass(frozen=True)
class Backlog:
    """Messages of a queue, over all priorities.

    Attributes:
        waiting: Those that no worker has taken.
        unacknowledged: Those in the hands of a worker, or of one that died.
        oldest_age_s: Longest time by Redis's clock since a request that waits was accepted, or a job queued; 0 if none
            waits.
    """

    waiting: int
    unacknowledged: int
    oldest_age_s: float


def read_backlogs(redis: Redis) -> dict[Queue, Backlog]:
    """The backlog of every queue."""
    lists = [(queue, key) for queue in Queue for key in _lists(queue)]
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hvals(UNACKNOWLEDGED)
        for _, key in lists:
            pipe.llen(key)
            pipe.lindex(key, -1)
        (seconds, microseconds), taken, *found = pipe.execute()
    waiting: Counter[str] = Counter()
    for (queue, _), length in zip(lists, found[::2], strict=True):
        waiting[queue] += length
    oldest = dict.fromkeys(Queue, 0.0)
    for (queue, _), message in zip(lists, found[1::2], strict=True):
        since = _since(redis, message)
        if since is not None:
            oldest[queue] = max(oldest[queue], seconds + microseconds / 1e6 - since)
    in_hand = Counter(_queue(entry) for entry in taken)
    return {queue: Backlog(waiting[queue], in_hand[queue], oldest[queue]) for queue in Queue}


def _lists(queue: Queue) -> list[str]:
    return [
        f"{KEY_PREFIX}{queue}{Channel.sep}{step}" if step else KEY_PREFIX + queue for step in Channel.priority_steps
    ]


def _queue(entry: bytes) -> str:
    """Of what a worker has in hand: message, exchange, routing key."""
    try:
        return str(json.loads(entry)[2])
    except (ValueError, LookupError, TypeError):
        return ""  # another program's


def _since(redis: Redis, message: bytes | None) -> float | None:
    """When what a message tells of was accepted or queued; None where there is none or it is not to be known."""
    try:
        task, arguments = read_message(json.loads(message or b""))
    except ValueError:
        return None
    name = str(arguments[0])
    place = (store.record_key(name), "hinted") if task is Task.DISTILL else (records.record_key(name), "created")
    found = redis.hget(*place)
    return None if found is None else float(found)
