"""Finds generations that nobody works on: left by a dead worker, or by this one."""

from collections.abc import Mapping

from redis import Redis

from core import presence
from core.errors import FewstepError
from core.generation import work
from core.generation.records import Status
from core.generation.work import End
from core.log import get_logger
from core.queues import Queue
from worker import metrics

MAX_ATTEMPTS = 3
"""A generation that took so many workers with it is the cause, not the victim."""

REDELIVERIES = metrics.REDELIVERIES.labels(Queue.SAMPLING)

log = get_logger(__name__)


def sweep(redis: Redis, running: Mapping[str, str], in_hand: set[str], *, worker: str, result_ttl_s: float) -> None:
    """Queue again what has no owner; harmless at any time and from any number of workers at once.

    Args:
        redis: Where the records are.
        running: Which worker has which generation.
        in_hand: What this one works on, no earlier.
        worker: The name of this one.
        result_ttl_s: How long a problem is kept.
    """
    dead = presence.dead(redis, set(running.values()) - {worker})
    for record_id, owner in running.items():
        if owner in dead:
            _rescue(redis, record_id, owner, result_ttl_s=result_ttl_s)
        elif owner == worker and record_id not in in_hand:
            _put_back(redis, record_id, owner, counts=False)  # what this worker has let go of did not end it


def _rescue(redis: Redis, record_id: str, owner: str, *, result_ttl_s: float) -> None:
    if work.attempts(redis, record_id) < MAX_ATTEMPTS:
        _put_back(redis, record_id, owner, counts=True)
        return
    problem = FewstepError(f"given up after {MAX_ATTEMPTS} attempts, each of which ended its worker").problem()
    if work.finish(redis, owner, [End(record_id, Status.FAILED, problem=problem)], ttl_s=result_ttl_s)[0]:
        log.error("given up", id=record_id, attempts=MAX_ATTEMPTS)


def _put_back(redis: Redis, record_id: str, owner: str, *, counts: bool) -> None:
    if work.put_back(redis, record_id, owner, counts=counts):
        REDELIVERIES.inc()
        log.warning("left by its worker, queued again", id=record_id, owner=owner)
