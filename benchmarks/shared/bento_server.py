"""``python -m benchmarks.shared.bento_server CHECKPOINT PORT``: ours behind BentoML with adaptive batching.

BentoML is none of this project's extras, since it pins dozens of packages that others here would have to follow:
``uv pip install bentoml==1.4.40`` in an environment for that.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from models.data.images import encode
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory

CHECKPOINT = "BENCHMARK_CHECKPOINT"
MOST_S = 120
MOST_IMAGES = 64


@bentoml.service(workers=1, traffic={"timeout": MOST_S})
class Network:
    """Samples a batch, in a process of its own."""

    def __init__(self) -> None:
        keep_memory()
        self.sampler = Sampler(Path(os.environ[CHECKPOINT]))

    @bentoml.api(batchable=True, max_batch_size=MOST_IMAGES, max_latency_ms=1000 * MOST_S)  # type: ignore[untyped-decorator]
    def sample(self, seeds: list[int]) -> list[bytes]:
        """A PNG a seed."""
        return [encode(image, "png") for image in self.sampler.sample(seeds=seeds)]


@bentoml.service(workers=1, traffic={"timeout": MOST_S})
class Sampling:
    """One image for ``{"seed": 7}``."""

    network = bentoml.depends(Network)

    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    async def predict(self, seed: int) -> Annotated[bytes, ContentType("image/png")]:
        """A PNG."""
        (picture,) = await self.network.to_async.sample([seed])
        return bytes(picture)


if __name__ == "__main__":
    os.environ[CHECKPOINT] = sys.argv[1]
    service = "benchmarks.shared.bento_server:Sampling"
    os.execv(
        sys.executable,
        [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", sys.argv[2]],
    )
