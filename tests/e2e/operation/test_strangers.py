"""A worker on a machine whose clock is wrong, and a broker that others push to."""

import json
import shutil
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from core.broker import make_celery
from core.queues import Task
from core.settings import Settings
from tests.e2e.stack import Stack, is_ready
from tests.processes import ROOT, wait_until

HOUR_S = 3600
GARBAGE: list[Any] = [
    b"garbage",
    b"\xff\xfe\x00",
    b"",
    "null",
    "7",
    "[]",
    '{"body": 7}',
    {},
    {"body": "W10=", "headers": {"task": "fewstep.generate", "id": "x"}},
]
"""As it comes, or a message of which only what is said is different."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Stack]:
    """The service, whose sampling worker is an hour ahead."""
    folder = tmp_path_factory.mktemp("strangers")
    shutil.copytree(tiny_family, folder / "checkpoints" / "digits")
    clock = {"PYTHONPATH": str(ROOT / "tests" / "another_clock")}
    stack = Stack(folder, folder / "checkpoints", FEWSTEP_MAX_IMAGES="64", **clock, CLOCK_AHEAD_S="0")
    stack.stop("sampler")
    stack.start("sampler", CLOCK_AHEAD_S=str(HOUR_S))
    wait_until(lambda: is_ready(stack.api), what="ready")
    yield stack
    stack.close()


def test_a_worker_whose_clock_is_wrong_serves_and_measures_rightly(stack: Stack) -> None:
    answers = [stack.api.post("/generate", json={"n": 2}) for _ in range(5)]
    answers += [stack.hasty.post("/generate", json={"n": 1})]  # with a deadline of a second
    assert [answer.status_code for answer in answers] == 6 * [200], [answer.text for answer in answers]
    for answer in answers:
        timings = answer.json()["timings"]
        assert all(0 <= seconds < 30 for seconds in timings.values()), timings
        assert timings["total"] >= timings["sample"]
    path = stack.api.post(
        "/generate", json={"n": 300}, headers={"Prefer": "respond-async", "Accept": "application/zip"}
    )
    wait_until(lambda: stack.api.get(path.headers["location"]).status_code == 200, what="the bulk result")
    shown = stack.scrape("sampler")
    for name in ("queue_wait", "batch_wait", "generation"):
        assert 0 <= shown.sum(f"fewstep_{name}_seconds_sum") < 120, name
        assert shown.sum(f"fewstep_{name}_seconds_count") == 7
    assert "sent again" not in stack.log("sampler")


def test_garbage_in_the_queue_is_dropped_and_counted(stack: Stack) -> None:
    sampler = stack.processes["sampler"]
    celery = make_celery(Settings(redis_url=SecretStr(stack.redis.url)))
    before = stack.metric("sampler", "fewstep_messages_dropped_total")
    with Redis.from_url(stack.redis.url) as redis:
        sampler.freeze()
        while (raw := redis.lindex("fewstep:sampling", 0)) is None:  # the first may be on its way to the worker
            celery.send_task(Task.GENERATE, args=["x"])
        assert isinstance(raw, bytes)
        ours = json.loads(raw)
        pushed = [one if isinstance(one, bytes) else json.dumps(one) for one in [*GARBAGE, *variants(ours)]]
        for one in pushed:
            redis.lpush("fewstep:sampling", one)
        assert redis.llen("fewstep:sampling") > len(pushed)
        sampler.thaw()
        wait_until(lambda: redis.llen("fewstep:sampling") == 0, what="the queue empty")
    assert stack.api.post("/generate").status_code == 200
    wait_until(
        lambda: stack.metric("sampler", "fewstep_messages_dropped_total") == before + len(pushed), what="all counted"
    )
    assert sampler.alive
    assert stack.log("sampler").count("not a message of ours, dropped") >= len(pushed)
    assert "Traceback" not in stack.log("sampler")


def variants(ours: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages of which one part is another's."""

    def body(*parts: object) -> dict[str, Any]:
        return ours | {"body": b64encode(json.dumps(parts).encode()).decode()}

    yield ours | {"body": "not base64"}
    yield ours | {"content-type": "application/x-python-serialize"}
    yield ours | {"content-encoding": "rot13"}
    yield ours | {"headers": None}
    yield ours | {"headers": ours["headers"] | {"task": "other.task"}}
    yield ours | {"headers": ours["headers"] | {"eta": "yesterday"}}
    yield ours | {"properties": {}}
    yield body([], {}, {})
    yield body([{}], {}, {})
    yield body(["x"], {"name": 1}, {})
    yield body("x")
