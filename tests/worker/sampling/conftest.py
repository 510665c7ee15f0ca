"""A worker's dispatcher and the API's end of Redis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as AsyncRedis

from core.connections import connect, connect_async
from core.settings import Settings
from worker.sampling.dispatcher import Dispatcher


@pytest.fixture
def dispatcher(redis_settings: Settings, tiny_family: Path) -> Iterator[Dispatcher]:
    update = {"checkpoints": tiny_family.parent, "default_model": "tiny", "device": "cpu"}
    settings = redis_settings.model_copy(update=update)
    with Dispatcher(settings, connect(settings), "w1") as dispatcher:
        yield dispatcher


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis
