"""``python -m benchmarks.shared.ray_server CHECKPOINT PORT``: ours behind Ray Serve with dynamic batching.

Ray is none of this project's extras, since all of a cluster comes with it: ``uv pip install "ray[serve]==2.60.0"`` in
an environment for that.
"""

import asyncio
import os
import sys
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}  # read when Ray is imported

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from models.data.images import encode
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory

MOST_IMAGES = 64
WAIT_S = 0.005


@serve.deployment(max_ongoing_requests=2 * MOST_IMAGES, ray_actor_options={"num_cpus": 0})
class Sampling:
    """One image for ``{"seed": 7}``."""

    def __init__(self, checkpoint: str) -> None:
        keep_memory()
        self.sampler = Sampler(Path(checkpoint))

    @serve.batch(max_batch_size=MOST_IMAGES, batch_wait_timeout_s=WAIT_S)  # type: ignore[untyped-decorator]
    async def sample(self, seeds: list[int]) -> list[bytes]:
        """A PNG a seed."""
        return await asyncio.to_thread(self._sample, seeds)

    def _sample(self, seeds: list[int]) -> list[bytes]:
        return [encode(image, "png") for image in self.sampler.sample(seeds=seeds)]

    async def __call__(self, request: Request) -> Response:
        """A PNG."""
        return Response(await self.sample((await request.json())["seed"]), media_type="image/png")


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Sampling.bind(sys.argv[1]), route_prefix="/predict", blocking=True)  # type: ignore[attr-defined]
