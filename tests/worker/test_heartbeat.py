import time

import pytest

from core import presence
from core.connections import connect, connect_async
from core.queues import Queue
from core.settings import Settings
from tests.processes import wait_until
from worker.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio


async def test_a_worker_announces_itself_drains_and_leaves(redis_settings: Settings) -> None:
    chores = 0

    def chore() -> None:
        nonlocal chores
        chores += 1
        raise RuntimeError("a chore that fails must not stop the beat")

    with connect(redis_settings, patient=False) as redis:
        heartbeat = Heartbeat(redis, Queue.SAMPLING, "w1", {"device": "cpu"}, interval_s=0.2, chore=chore)
        async with connect_async(redis_settings) as api:
            heartbeat.start()
            time.sleep(1)
            assert (await presence.workers(api, Queue.SAMPLING))["w1"]["device"] == "cpu"
            assert chores > 1
            heartbeat.drain()
            wait_until(lambda: not redis.smembers("fewstep:workers:sampling"))
            time.sleep(1)
            assert presence.dead(redis, {"w1"}) == set()
            heartbeat.leave()
            assert presence.dead(redis, {"w1"}) == {"w1"}
