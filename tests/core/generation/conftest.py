"""Both ends of Redis: a worker's and the API's."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.connections import connect, connect_async
from core.settings import Settings


@pytest.fixture
def worker(redis_settings: Settings) -> Iterator[Redis]:
    with connect(redis_settings) as redis:
        yield redis


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis
