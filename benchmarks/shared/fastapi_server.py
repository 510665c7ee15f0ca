"""``python -m benchmarks.shared.fastapi_server CHECKPOINT PORT``: FastAPI that samples each request by itself."""

import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response

from models.data.images import encode
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory


def main() -> None:
    """Serve until SIGTERM; requests run in threads, and a lock keeps the sampler to one at a time."""
    keep_memory()
    sampler, lock, app = Sampler(Path(sys.argv[1])), threading.Lock(), FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> Response:
        with lock:
            (image,) = sampler.sample(seeds=[body["seed"]])
        return Response(encode(image, "png"), media_type="image/png")

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
