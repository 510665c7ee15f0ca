"""How often a key may ask."""

import time
from functools import cache

import limits
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import Redis

from core.access.keys import Key
from core.errors import TooMany

_parsed = cache(limits.parse)


class Rates:
    """Counts requests in Redis, for all API processes together. A key without a rate costs nothing.

    Windows are fixed: a count that expires, by Redis's clock, whereas windows that slide go by the clock of each API.
    """

    def __init__(self, redis: Redis) -> None:
        """Count by the connections of a client."""
        storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix="fewstep:rates",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # of the few options it is the object
        )
        self._limiter = FixedWindowRateLimiter(storage)

    async def take(self, key: Key) -> None:
        """Count a request.

        Raises:
            TooMany: There were as many already.
        """
        if key.rate is None:
            return
        rate = _parsed(key.rate)
        if await self._limiter.hit(rate, key.name):
            return
        ends, _ = await self._limiter.get_window_stats(rate, key.name)
        raise TooMany(
            f"the key {key.name} may ask {key.rate}", retry_after=max(ends - time.time(), 1), allowed={"rate": key.rate}
        )
