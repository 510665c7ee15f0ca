"""Many requests at once: none gets another's images, none waits for ever, nothing is left behind."""

import asyncio
import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
from redis import Redis

from core.generation import records
from models.sampling.engine import Sampler
from tests.e2e.stack import MAX_WAIT_S, Stack
from tests.processes import wait_until

NPY = {"Accept": "application/x-npy"}
REQUESTS_AT_ONCE = 250
WARM_REQUESTS = 500
SOAK_REQUESTS = 1500


@cache
def sampler(checkpoint: Path) -> Sampler:
    return Sampler(checkpoint, device="cpu")


def expected(stack: Stack, model: str, steps: int, seeds: range) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, sampler(stack.checkpoints / model / f"{steps}-step").sample(seeds=seeds))
    return buffer.getvalue()


async def post_all(stack: Stack, bodies: list[dict[str, object]], *, at_once: int = 64) -> list[httpx.Response]:
    """Their answers, in their order."""
    slots = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(base_url=stack.api.base_url, timeout=90, limits=limits) as client:

        async def post(body: dict[str, object]) -> httpx.Response:
            async with slots:
                return await client.post("/generate", json=body, headers=NPY)

        return list(await asyncio.gather(*map(post, bodies)))


def test_hundreds_at_once_each_get_their_own_images(stack: Stack) -> None:
    draw = random.Random(0)
    students = [("digits", 1), ("digits", 2), ("digits", 4), ("classes", 1), ("classes", 2)]
    counts = [1, 1, 1, 2, 3, 20]
    asked = [(*draw.choice(students), draw.choice(counts), draw.randrange(2**20)) for _ in range(REQUESTS_AT_ONCE)]
    bodies: list[dict[str, object]] = [dict(zip(("model", "steps", "n", "seed"), one, strict=True)) for one in asked]
    answers = asyncio.run(post_all(stack, bodies))
    for (model, steps, n, seed), answer in zip(asked, answers, strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.content == expected(stack, model, steps, range(seed, seed + n)), (model, steps, n, seed)
    assert stack.metric("sampler", "fewstep_batch_images_sum") > stack.metric("sampler", "fewstep_batch_images_count")


def test_a_soak_leaves_nothing_behind(stack: Stack) -> None:
    def bodies(count: int) -> list[dict[str, object]]:
        return [{"model": "digits", "steps": 1, "seed": seed} for seed in range(count)]

    def resident(name: str) -> int:
        status = Path(f"/proc/{stack.processes[name].pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    asyncio.run(post_all(stack, bodies(WARM_REQUESTS), at_once=16))
    before = {name: resident(name) for name in ("sampler", "api")}
    answers = asyncio.run(post_all(stack, bodies(SOAK_REQUESTS), at_once=16))
    assert {answer.status_code for answer in answers} == {200}
    for name, size in before.items():
        assert resident(name) < 1.02 * size, name
    wait_until(lambda: stack.metric("sampler", "fewstep_requests_in_hand") == 0, what="empty hands")
    assert stack.metric("sampler", "fewstep_requests_waiting") == 0
    with Redis.from_url(stack.redis.url) as redis:
        assert int(redis.get(records.LOAD) or 0) == 0
        assert redis.zcard(records.QUEUED) == redis.hlen(records.RUNNING) == 0


@contextmanager
def load(stack: Stack, seconds: float) -> Iterator[None]:
    """As if interactive requests of so much work had been accepted."""
    with Redis.from_url(stack.redis.url) as redis:
        stack.processes["sampler"].freeze()  # or it would notice that there is nothing
        redis.incrby(records.LOAD, round(1e6 * seconds))
        try:
            yield
        finally:
            redis.decrby(records.LOAD, round(1e6 * seconds))
            stack.processes["sampler"].thaw()


def test_beyond_the_longest_wait_it_says_when_to_come_back(stack: Stack) -> None:
    with load(stack, MAX_WAIT_S + 7.5):
        response = stack.api.post("/generate")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "8"
        assert response.json()["title"] == "Busy"
        assert stack.scrape("api").get("fewstep_http_rejections_total", reason="busy") >= 1
        assert f"over the limit of {MAX_WAIT_S}" in response.json()["detail"]
        accepted = stack.api.post("/generate", headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202
    hasty = stack.hasty  # which takes some seconds to start
    with load(stack, MAX_WAIT_S - 5):
        later = hasty.post("/generate")
        assert later.status_code == 504  # accepted, though the worker stands still
    assert stack.api.post("/generate").status_code == 200


def test_what_is_accepted_counts_until_it_has_ended(stack: Stack) -> None:
    with Redis.from_url(stack.redis.url) as redis:
        assert stack.api.post("/generate", json={"n": 20}).status_code == 200
        before = int(redis.get(records.LOAD) or 0)
        stack.processes["sampler"].freeze()
        try:
            with pytest.raises(httpx.ReadTimeout):
                stack.api.post("/generate", json={"n": 200, "steps": 8}, timeout=0.5)
            wait_until(lambda: int(redis.get(records.LOAD) or 0) == before, what="no load by who left")
        finally:
            stack.processes["sampler"].thaw()


def test_interactive_requests_overtake_bulk(stack: Stack) -> None:
    body = {"n": 10_000, "steps": 8, "seed": 0}
    location = stack.api.post("/generate", json=body, headers={**NPY, "Prefer": "respond-async"}).headers["location"]
    try:
        wait_until(lambda: stack.api.get(location).json()["status"] == "running", what="running")
        for _ in range(3):
            assert stack.api.post("/generate", json={"steps": 8}).status_code == 200
        assert stack.api.get(location).status_code == 202, "too fast a machine for this test"
    finally:
        stack.api.delete(location)


def test_the_deadline_passes_among_the_batches_of_others(stack: Stack) -> None:
    started = time.monotonic()
    response = stack.hasty.post("/generate", json={"n": 5000, "steps": 8})
    assert response.status_code == 504
    assert time.monotonic() - started < 30
    wait_until(lambda: stack.metric("sampler", "fewstep_requests_in_hand") == 0, what="dropped")
