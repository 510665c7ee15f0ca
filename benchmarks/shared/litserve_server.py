"""``python -m benchmarks.shared.litserve_server CHECKPOINT PORT``: ours behind LitServe with dynamic batching."""

import sys
from pathlib import Path
from typing import Any

import litserve
from fastapi import Response

from models.data.images import Pictures, encode
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory

BATCH_TIMEOUT_S = 0.005


class Sampling(litserve.LitAPI):  # type: ignore[misc]
    """One image for ``{"seed": 7}``."""

    def setup(self, device: str) -> None:  # noqa: ARG002, D102
        keep_memory()
        self.sampler = Sampler(Path(sys.argv[1]))

    def decode_request(self, request: dict[str, Any]) -> int:  # noqa: D102
        return int(request["seed"])

    def batch(self, inputs: list[int]) -> list[int]:  # noqa: D102
        return inputs

    def predict(self, inputs: list[int]) -> Pictures:  # noqa: D102
        return self.sampler.sample(seeds=inputs)

    def unbatch(self, output: Pictures) -> list[Pictures]:  # noqa: D102
        return list(output)

    def encode_response(self, output: Pictures) -> Response:  # noqa: D102
        return Response(encode(output, "png"), media_type="image/png")


def main() -> None:
    """Serve until SIGTERM."""
    api = Sampling(max_batch_size=Sampler(Path(sys.argv[1])).max_batch, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
