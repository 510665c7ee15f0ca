import asyncio
import signal

import pytest

from app.generate.results import Results
from core.connections import connect_async
from core.generation import records
from core.settings import Settings
from tests.generations import make_generation
from tests.processes import RedisServer

pytestmark = pytest.mark.anyio


async def test_a_future_is_done_when_its_generation_ends(redis_settings: Settings) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generations = [make_generation() for _ in range(2)]
        with results.expect(generations[0].id) as first, results.expect(generations[1].id) as second:
            for generation in generations:
                await records.create(redis, generation, ttl_s=100)
            await records.cancel(redis, generations[1].id, ttl_s=100)
            await asyncio.wait_for(second, 10)
            assert not first.done()


async def test_what_ended_while_nobody_listened_is_found(redis_settings: Settings) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.create(redis, generation, ttl_s=100)
        await asyncio.sleep(0.2)
        with results.expect(generation.id) as ended:
            await redis.hset(f"fewstep:generate:record:{generation.id}", "status", "failed")  # without a word
            await redis.client_kill_filter(_type="pubsub")
            await asyncio.wait_for(ended, 10)


async def test_what_was_published_elsewhere_is_found_too(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.generate.results.QUIET_S", 0.1)
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.create(redis, generation, ttl_s=100)
        with results.expect(generation.id) as ended:
            await asyncio.sleep(0.3)
            assert not ended.done()
            await redis.hset(records.record_key(generation.id), "status", "failed")  # without a word
            await asyncio.wait_for(ended, 10)


async def test_a_restart_of_redis_is_ridden_out(redis_settings: Settings, redis_server: RedisServer) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.create(redis, generation, ttl_s=100)
        with results.expect(generation.id) as ended:
            redis_server.stop(signal.SIGKILL)
            await asyncio.sleep(0.5)
            redis_server.start()
            assert not ended.done()
            await records.cancel(redis, generation.id, ttl_s=100)
            await asyncio.wait_for(ended, 20)
