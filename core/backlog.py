"""What waits for workers: generations by their records, and messages read from the keys that Celery's transport keeps.

A queue of messages is a list for each priority: ``fewstep:{queue}`` for the highest, the others with a separator and
their number behind; messages come in on the left and go out on the right. What a worker has taken and not acknowledged
lies in one hash for all queues.
"""

import json
from dataclasses import dataclass

from kombu.transport.redis import Channel
from redis import Redis

from core.broker import KEY_PREFIX
from core.generation import records
from core.jobs import store
from core.messages import read_message
from core.queues import Queue
from core.webhooks import outbox

UNACKNOWLEDGED = KEY_PREFIX + Channel.unacked_key


@dataclass(frozen=True)
class Backlog:
    """What there is to do for the workers of a queue.

    Attributes:
        waiting: Generations, or messages of jobs over all priorities, that no worker has taken.
        in_hand: Those in the hands of a worker, or of one that died: of messages, those not acknowledged.
        oldest_age_s: Longest time by Redis's clock since a generation that waits was accepted, a job queued, or a
            message due; 0 if none waits.
    """

    waiting: int
    in_hand: int
    oldest_age_s: float


def read_backlogs(redis: Redis) -> dict[Queue, Backlog]:
    """The backlog of every queue."""
    return {
        Queue.SAMPLING: _generations(redis),
        Queue.DISTILLATION: _messages(redis, Queue.DISTILLATION),
        Queue.WEBHOOKS: _outbox(redis),
    }


def _generations(redis: Redis) -> Backlog:
    queues = (records.QUEUED, records.QUEUED_BULK)
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hlen(records.RUNNING)
        for queue in queues:
            pipe.zcard(queue)
            pipe.zrange(queue, 0, 0, withscores=True)
        (seconds, microseconds), in_hand, *found = pipe.execute()
    ages = [seconds + microseconds / 1e6 - accepted for oldest in found[1::2] for _, accepted in oldest]
    return Backlog(sum(found[::2]), in_hand, max([0.0, *ages]))


def _outbox(redis: Redis) -> Backlog:
    """Messages that are not delivered yet, those that wait to be sent again among them."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zcard(outbox.DUE)
        pipe.zrange(outbox.DUE, 0, 0, withscores=True)
        (seconds, microseconds), waiting, oldest = pipe.execute()
    ages = [seconds + microseconds / 1e6 - due for _, due in oldest]
    return Backlog(waiting, 0, max([0.0, *ages]))


def _messages(redis: Redis, queue: Queue) -> Backlog:
    lists = _lists(queue)
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hvals(UNACKNOWLEDGED)
        for key in lists:
            pipe.llen(key)
            pipe.lindex(key, -1)
        (seconds, microseconds), taken, *found = pipe.execute()
    since = [accepted for message in found[1::2] if (accepted := _since(redis, message)) is not None]
    ages = [seconds + microseconds / 1e6 - accepted for accepted in since]
    in_hand = sum(_queue(entry) == queue for entry in taken)
    return Backlog(sum(found[::2]), in_hand, max([0.0, *ages]))


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
    """When the job of a message was queued; None where there is none or it is not to be known."""
    try:
        _, arguments = read_message(json.loads(message or b""))
    except ValueError:
        return None
    found = redis.hget(store.record_key(str(arguments[0])), "hinted")
    return None if found is None else float(found)
