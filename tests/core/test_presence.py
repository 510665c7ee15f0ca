import time

import pytest

from core import presence
from core.connections import connect, connect_async
from core.queues import Queue
from core.settings import Settings

pytestmark = pytest.mark.anyio
HEARTBEAT_S = 0.2


async def test_a_worker_is_there_until_it_misses_its_heartbeats(redis_settings: Settings) -> None:
    with connect(redis_settings) as redis:
        async with connect_async(redis_settings) as api:
            assert await presence.workers(api, Queue.SAMPLING) == {}
            presence.announce(redis, Queue.SAMPLING, "w1", {"device": "cpu"}, heartbeat_s=HEARTBEAT_S)
            assert await presence.workers(api, Queue.SAMPLING) == {"w1": {"device": "cpu"}}
            assert await presence.workers(api, Queue.DISTILLATION) == {}
            assert presence.dead(redis, {"w1", "w2"}) == {"w2"}
            time.sleep(3 * HEARTBEAT_S + 0.1)
            assert await presence.workers(api, Queue.SAMPLING) == {}
            assert presence.dead(redis, {"w1"}) == {"w1"}
            assert redis.smembers(f"fewstep:workers:{Queue.SAMPLING}") == set()


async def test_a_draining_worker_takes_no_work_but_is_not_dead(redis_settings: Settings) -> None:
    with connect(redis_settings) as redis:
        async with connect_async(redis_settings) as api:
            presence.announce(redis, Queue.SAMPLING, "w1", {}, heartbeat_s=10)
            presence.drain(redis, Queue.SAMPLING, "w1", heartbeat_s=10)
            assert await presence.workers(api, Queue.SAMPLING) == {}
            assert presence.dead(redis, {"w1"}) == set()
            presence.leave(redis, Queue.SAMPLING, "w1")
            assert presence.dead(redis, {"w1"}) == {"w1"}
