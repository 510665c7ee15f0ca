"""Latency of ``/generate`` with and without a distillation job on the same device.

``python -m benchmarks.beside_training``. Closed loop on the running service, the shipped family, one image a request,
every picture checked; first alone, then beside a job that trains all the while, then alone again.
"""

import argparse
import base64
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.shared.common import machine, service, table
from benchmarks.shared.load import Plan, bodies, run
from core.catalog.card import SHIPPED_CHECKPOINTS
from models.data.images import encode
from models.sampling.engine import Sampler

STEPS = 1
JOB = {"teacher": "digits/8-step", "iterations": 5000, "batch_size": 32, "evaluate": None}


def call(port: int, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON answer of the service."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    print(machine(), "\n")
    seeds = range(64)
    sampler = Sampler(SHIPPED_CHECKPOINTS / "digits" / f"{STEPS}-step")
    pictures = [base64.b64encode(encode(image, "png")).decode() for image in sampler.sample(seeds=seeds)]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name, service(Path(name), SHIPPED_CHECKPOINTS) as port:

        def load(clients: int, seconds: float = options.seconds) -> list[float]:
            plan = Plan(port, "/generate", bodies(seeds, model="digits", steps=STEPS), pictures, seconds, clients)
            report = run(plan)
            return [report.throughput, *report.milliseconds]

        load(4, 2)  # warm
        alone = {clients: load(clients) for clients in options.clients}
        job = call(port, "/distill-jobs", JOB)
        path = job["links"]["self"]
        while not call(port, path)["iteration"]:
            time.sleep(0.5)
        for clients in options.clients:
            before, began = call(port, path), time.monotonic()
            beside = load(clients)
            after = call(port, path)
            rate = (after["iteration"] - before["iteration"]) / (time.monotonic() - began)
            rows.append([clients, "alone", *alone[clients], ""])
            rows.append([clients, "beside a job", *beside, rate])
            rows.append([clients, "ratio", *(b / a for a, b in zip(alone[clients], beside, strict=True)), ""])
        before, began = call(port, path), time.monotonic()
        time.sleep(options.seconds)
        rate = (call(port, path)["iteration"] - before["iteration"]) / (time.monotonic() - began)
        rows.append([0, "the job alone", "", "", "", "", rate])
        call(port, f"{path}/cancel", {})
    print(table(("clients", "", "images/s", "p50, ms", "p95, ms", "p99, ms", "iterations/s of the job"), rows))


if __name__ == "__main__":
    main()
