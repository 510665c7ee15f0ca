"""Latency of ``/generate`` beside other work on the same device: a busy process, and a distillation job.

``python -m benchmarks.beside_training``. Closed loop on the running service, one image a request, every picture
checked: alone, beside a process that computes without end, and beside a job that distils the same network all the
while. The networks are that of ``digits`` and the paper's.
"""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.shared.common import PAPER, lay_out_checkpoints, machine, save_network, service, table
from benchmarks.shared.load import Plan, bodies, run
from models.data.images import encode
from models.sampling.engine import Sampler

JOBS: dict[str, dict[str, Any]] = {
    "digits": {"teacher": "digits/8-step", "iterations": 50_000, "batch_size": 32, "evaluate": None},
    "paper": {
        "teacher": "paper/8-step",
        "method": "sfd",  # needs no images
        "iterations": 50_000,
        "batch_size": 8,
        "evaluate": None,
    },
}
STEPS = 1


def call(port: int, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON answer of the service."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


@contextmanager
def busy_process() -> Iterator[None]:
    """One that wants a core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def job(port: int, model: str) -> Iterator[str]:
    """One that has begun to learn; its path."""
    path = call(port, "/distill-jobs", JOBS[model])["links"]["self"]
    try:
        while not call(port, path)["iteration"]:
            time.sleep(0.5)
        yield path
    finally:
        call(port, f"{path}/cancel", {})


def measure(model: str, port: int, pictures: list[str], options: argparse.Namespace) -> list[list[object]]:
    """Rows of the table."""

    def load(clients: int, seconds: float = options.seconds) -> list[float]:
        plan = Plan(
            port, "/generate", bodies(range(len(pictures)), model=model, steps=STEPS), pictures, seconds, clients
        )
        report = run(plan)
        return [report.throughput, *report.milliseconds]

    load(4, 2)  # warm
    rows: list[list[object]] = []
    alone = {clients: load(clients) for clients in options.clients}
    with busy_process():
        busy = {clients: load(clients) for clients in options.clients}
    with job(port, model) as path:
        for clients in options.clients:
            before, began = call(port, path), time.monotonic()
            beside = load(clients)
            after = call(port, path)
            rate = (after["iteration"] - before["iteration"]) / (time.monotonic() - began)
            for name, found, of_job in (
                ("alone", alone[clients], ""),
                ("beside a busy process", busy[clients], ""),
                ("beside a job", beside, rate),
            ):
                rows.append([model, clients, name, *found, found[1] / alone[clients][1], of_job])
        before, began = call(port, path), time.monotonic()
        time.sleep(options.seconds)
        rate = (call(port, path)["iteration"] - before["iteration"]) / (time.monotonic() - began)
        rows.append([model, 0, "the job alone", "", "", "", "", "", rate])
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--models", nargs="+", default=list(JOBS), choices=JOBS)
    options = parser.parse_args()
    print(machine(), "\n")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        checkpoints = lay_out_checkpoints(Path(name), ["digits"])
        if "paper" in options.models:
            save_network(checkpoints / "paper", [8, STEPS], PAPER)
        for model in options.models:
            images = Sampler(checkpoints / model / f"{STEPS}-step").sample(seeds=range(64))
            pictures = [base64.b64encode(encode(image, "png")).decode() for image in images]
            with service(Path(name), checkpoints, default_model=model) as port:
                rows += measure(model, port, pictures, options)
    head = (
        "model",
        "clients",
        "",
        "images/s",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "p50 of alone",
        "iterations/s of the job",
    )
    print(table(head, rows))


if __name__ == "__main__":
    main()
