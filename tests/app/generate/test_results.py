import asyncio
import signal

import pytest

from app.generate.results import Results
from core.connections import connect, connect_async
from core.generation import records, work
from core.generation.records import Ended, Status
from core.generation.work import End
from core.settings import Settings
from tests.generations import make_generation, start
from tests.processes import RedisServer

pytestmark = pytest.mark.anyio


async def test_a_future_has_the_end_of_its_generation(redis_settings: Settings) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results, Results(redis) as others:
        generations = [make_generation() for _ in range(2)]
        with results.expect(generations[0].id) as first, others.expect(generations[1].id) as second:
            for generation, listener in zip(generations, (results, others), strict=True):
                await records.submit(redis, generation, ttl_s=100, channel=listener.channel)
            with connect(redis_settings) as worker:
                start(worker, "w1")
                end = End(generations[1].id, Status.SUCCEEDED, headers={"A": "b"}, result=b"png")
                await asyncio.sleep(0.2)  # who subscribes is slower than the worker here
                work.finish(worker, "w1", [end], ttl_s=100)
            ended = await asyncio.wait_for(second, 10)
            assert ended in (Ended(Status.SUCCEEDED, b"png", {"A": "b"}), None)
            assert not first.done()


async def test_what_ended_while_nobody_listened_is_found(redis_settings: Settings) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.submit(redis, generation, ttl_s=100, channel=results.channel)
        await asyncio.sleep(0.2)
        with results.expect(generation.id) as ended:
            await redis.hset(records.record_key(generation.id), "status", "failed")  # without a word
            await redis.client_kill_filter(_type="pubsub")
            assert await asyncio.wait_for(ended, 10) is None


async def test_what_was_published_elsewhere_is_found_too(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.generate.results.QUIET_S", 0.1)
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.submit(redis, generation, ttl_s=100, channel=results.channel)
        with results.expect(generation.id) as ended:
            await asyncio.sleep(0.3)
            assert not ended.done()
            await records.forget(redis, generation.id)  # as who published it to another server does
            assert await asyncio.wait_for(ended, 10) is None


async def test_a_restart_of_redis_is_ridden_out(redis_settings: Settings, redis_server: RedisServer) -> None:
    async with connect_async(redis_settings) as redis, Results(redis) as results:
        generation = make_generation()
        await records.submit(redis, generation, ttl_s=100, channel=results.channel)
        with results.expect(generation.id) as ended:
            redis_server.stop(signal.SIGKILL)
            await asyncio.sleep(0.5)
            redis_server.start()
            assert not ended.done()
            await records.cancel(redis, generation.id, ttl_s=100)
            assert await asyncio.wait_for(ended, 20) is None
