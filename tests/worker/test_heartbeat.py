import time

import pytest

from core import presence
from core.connections import connect, connect_async
from core.queues import Queue
from core.settings import Settings
from tests.processes import wait_until
from worker.heartbeat import Heartbeat, Pulse

pytestmark = pytest.mark.anyio


async def test_a_worker_announces_itself_drains_and_leaves(redis_settings: Settings) -> None:
    chores = 0

    def chore(after_trouble: bool) -> None:
        nonlocal chores
        assert after_trouble == bool(chores)
        chores += 1
        raise RuntimeError("a chore that fails must not stop the beat")

    pulse = Pulse(0.2)
    with connect(redis_settings, patient=False) as redis:
        heartbeat = Heartbeat(redis, Queue.SAMPLING, "w1", {"device": "cpu"}, interval_s=0.2, pulse=pulse, chore=chore)
        async with connect_async(redis_settings) as api:
            assert not pulse.is_regular()
            heartbeat.start()
            time.sleep(1)
            wait_until(pulse.is_regular)
            assert (await presence.workers(api, Queue.SAMPLING))["w1"]["device"] == "cpu"
            assert chores > 1
            heartbeat.drain()
            wait_until(lambda: not redis.smembers("fewstep:workers:sampling"))
            time.sleep(1)
            assert presence.dead(redis, {"w1"}) == set()
            heartbeat.leave()
            assert presence.dead(redis, {"w1"}) == {"w1"}
            wait_until(lambda: not pulse.is_regular())
