"""Awaiting the end of generations: one subscription for the whole process, no thread and no polling for each."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError, RedisError

from core.generation import records
from core.generation.records import PENDING, Ended
from core.log import get_logger

RECONNECT_S = 0.5
QUIET_S = 5.0
"""A subscription that is silent for so long is tested with a ping."""

log = get_logger(__name__)


class Results:
    """Futures of generations by id, resolved when Redis says that they ended.

    Attributes:
        channel: Where workers are to publish it; new with each process.
    """

    def __init__(self, redis: Redis) -> None:
        self.channel = records.channel_of(uuid.uuid4().hex)
        self._redis = redis
        self._pending: dict[str, asyncio.Future[Ended | None]] = {}
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Results":
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        # More than once if need be: Python 3.11's `wait_for`, which the client sends with, can swallow a cancellation.
        while not self._listener.done():
            self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=1)

    @contextmanager
    def expect(self, record_id: str) -> Iterator[asyncio.Future[Ended | None]]:
        """A future of how the generation ended; enter before it is submitted.

        None stands for what only its record can tell: the result is large, or the message was lost.
        """
        future = asyncio.get_running_loop().create_future()
        self._pending[record_id] = future
        try:
            yield future
        finally:
            del self._pending[record_id]

    def _resolve(self, record_id: str, ended: Ended | None) -> None:
        future = self._pending.get(record_id)
        if future is not None and not future.done():
            future.set_result(ended)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self.channel)
                    await self._follow(subscription)
            except (RedisError, OSError) as error:
                log.warning("subscription lost", error=str(error), pending=len(self._pending))
                await asyncio.sleep(RECONNECT_S)
            except Exception:
                log.exception("listener failed")
                await asyncio.sleep(RECONNECT_S)

    async def _follow(self, subscription: PubSub) -> None:
        answered = True
        while True:
            message = await subscription.get_message(timeout=QUIET_S)
            if message is None and not answered:
                raise ConnectionError("no answer to a ping")
            answered = message is not None
            if message is None:
                await subscription.ping()
                # After a failover it may be to a server that hears of nothing any more, and answers pings.
                if await self._recheck():
                    raise ConnectionError("an end was published elsewhere")
            elif message["type"] == "subscribe":
                # New, or again after a lost connection: what ended meanwhile was published to nobody.
                await self._recheck()
            elif message["type"] == "message":
                self._resolve(*records.ended(message["data"]))

    async def _recheck(self) -> int:
        """Look up what is awaited. Returns how much of it has ended, or is not there any more."""
        ended = [
            record_id
            for record_id in list(self._pending)
            if await records.status(self._redis, record_id) not in PENDING
        ]
        for record_id in ended:
            self._resolve(record_id, None)
        return len(ended)
