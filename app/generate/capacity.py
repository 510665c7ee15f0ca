"""How long a request would wait, and whether to let it."""

import asyncio
import time

from redis.asyncio import Redis

from core import presence
from core.errors import Busy, Unavailable
from core.generation import throughput
from core.queues import Queue

MAX_AGE_S = 0.2
"""What is known of workers may be so old, so that most requests need not ask."""
OVERHEAD_S = 0.001
"""What a request takes of a worker beside sampling, where nothing is measured."""
UNKNOWN_COST_S = 0.01
"""Of an image of a checkpoint that was never sampled."""
NO_WORKER_RETRY_S = 5


class Capacity:
    """Workers and what images cost them, as last read from Redis."""

    def __init__(self, redis: Redis, *, max_wait_s: float) -> None:
        self._redis = redis
        self._max_wait_s = max_wait_s
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._workers = 0
        self._costs: dict[str, float] = {}

    async def look(self) -> None:
        """Ask again, where the last answer is too old.

        Raises:
            Unavailable: No worker is there.
        """
        if time.monotonic() - self._read_at > MAX_AGE_S:
            async with self._reading:  # one asks for all that come meanwhile
                if time.monotonic() - self._read_at > MAX_AGE_S:
                    self._workers = len(await presence.workers(self._redis, Queue.SAMPLING))
                    self._costs = await throughput.costs(self._redis)
                    self._read_at = time.monotonic()
        if not self._workers:
            raise Unavailable("no sampling worker is there", retry_after=NO_WORKER_RETRY_S)

    @property
    def most_load_s(self) -> float:
        """Seconds of one worker's time beyond which nothing more is accepted."""
        return self._max_wait_s * self._workers

    def work_s(self, checkpoint: str, images: int) -> float:
        """Seconds of a worker's time that images of ``family/checkpoint`` will take."""
        return OVERHEAD_S + images * self._costs.get(checkpoint, UNKNOWN_COST_S)

    def busy(self, load_s: float) -> Busy:
        """The error where so much was accepted before."""
        wait_s = load_s / max(self._workers, 1)
        return Busy(
            f"the estimated wait is {wait_s:.0f} seconds, over the limit of {self._max_wait_s:g}; "
            "`Prefer: respond-async` has none",
            # Nothing else coming in, this is when the wait will be back at the limit.
            retry_after=max(wait_s - self._max_wait_s, 1),
        )
