"""Looks, for what is being sampled, whether anybody still wants it, and says how far what takes long is."""

from collections.abc import Mapping
from contextlib import suppress
from threading import Event, Thread

from redis import Redis
from redis.exceptions import RedisError

from core.generation import work
from core.log import get_logger
from worker.sampling.batcher import Job

LOOK_EVERY_S = 0.1

log = get_logger(__name__)


class NotWanted(Exception):  # noqa: N818
    """The generation was cancelled while it was in hand."""


class Watch:
    """A thread; a context manager."""

    def __init__(self, redis: Redis, worker: str, in_hand: Mapping[str, Job | None]) -> None:
        """Look after what ``in_hand`` has at each time: ids with the job that is sampled, if there is one."""
        self._redis = redis
        self._worker = worker
        self._in_hand = in_hand
        self._left = Event()
        self._thread = Thread(target=self._work, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._left.wait(LOOK_EVERY_S):
            sampled = {record_id: job for record_id, job in list(self._in_hand.items()) if job}
            if not sampled:
                continue
            try:
                owners = work.owners(self._redis, list(sampled))
            except (RedisError, OSError) as error:
                log.warning("cannot look what is still wanted", error=str(error))
                continue
            for job, owner in zip(sampled.values(), owners, strict=True):
                if owner != self._worker:
                    job.end(NotWanted())
            self._tell(sampled)

    def _tell(self, sampled: Mapping[str, Job]) -> None:
        """Say how far the long ones are."""
        shares = {
            record_id: min(job.steps_begun / (len(job.inputs) * job.group.num_steps), 1.0)
            for record_id, job in sampled.items()
            if job.group.is_long and not job.done.done()
        }
        if shares:
            with suppress(RedisError, OSError):  # the next look tells it as well
                work.tell(self._redis, shares)
