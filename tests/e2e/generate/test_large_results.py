"""Results larger than all of Redis's memory, which goes on serving meanwhile."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from redis import Redis

from models.checkpoints.checkpoint import save_checkpoint
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet
from models.sampling.engine import Sampler
from tests.e2e.stack import Stack
from tests.processes import wait_until

REDIS_BYTES = 24 * 2**20
SIDE, N = 128, 600
NARROW = UNetConfig(
    image_shape=(3, SIDE, SIDE), channels=4, multipliers=(1,) * 5, attention_levels=(), blocks=1, norm_groups=1
)
"""A network that takes little time for large images."""


@pytest.fixture
def redis(stack: Stack) -> Iterator[Redis]:
    """Of little memory."""
    with Redis.from_url(stack.redis.url) as redis:
        redis.config_resetstat()
        redis.config_set("maxmemory", REDIS_BYTES)
        yield redis
        redis.config_set("maxmemory", 0)


def test_one_larger_than_redis_is_made_and_fetched_while_others_are_served(stack: Stack, redis: Redis) -> None:
    torch.manual_seed(0)
    checkpoint = stack.checkpoints / "narrow" / "1-step"
    save_checkpoint(checkpoint, build_unet(NARROW), rows=step_rows(1), method="base")
    body = {"model": "narrow", "steps": 1, "n": N, "seed": 5}
    headers = {"Prefer": "respond-async", "Accept": "application/x-npy"}
    wait_until(lambda: stack.api.get("/models/narrow/1-step").status_code == 200, what="the family")
    location = stack.api.post("/generate", json=body, headers=headers).headers["location"]
    files = Path(stack.folder, "var", "artifacts", "results", location.removeprefix("/generate/"))

    def ended() -> bool:
        assert stack.api.post("/generate", json={"steps": 1}).status_code == 200
        return stack.api.get(location).status_code != 202

    wait_until(ended, what="the end")
    document = io.BytesIO()
    with stack.api.stream("GET", location) as answer:
        assert answer.status_code == 200
        for number, part in enumerate(answer.iter_bytes()):
            document.write(part)
            if number % 50 == 0:
                assert stack.hasty.post("/generate", json={"steps": 1}).status_code == 200
    images = np.load(io.BytesIO(document.getvalue()), allow_pickle=False)
    assert images.nbytes > REDIS_BYTES > redis.info("memory")["used_memory_peak"]
    sampler = Sampler(checkpoint, device="cpu")
    for first in (0, N - 5):
        np.testing.assert_array_equal(images[first : first + 5], sampler.sample(seeds=range(5 + first, 10 + first)))
    assert any(files.rglob("*"))
    assert stack.api.delete(location).status_code == 204
    wait_until(lambda: not files.exists(), what="the files to be gone")
