"""The same network behind LitServe, BentoML, Ray Serve and plain FastAPI with a thread, against ours.

``python -m benchmarks.peers``; needs the extra ``bench``, and for BentoML and Ray what ``bento_server.py`` and
``ray_server.py`` in ``benchmarks/shared`` say. All sample with our engine, in the same precision, at most as many
images at a time, and answer the same PNGs, which are checked. The networks are the paper's, that of ``digits``, and a
``tiny`` one that takes next to nothing, so that what is compared is the servers. LitServe and Ray batch dynamically and
wait up to 5 ms for a batch to fill, BentoML adaptively. None logs requests. Each is alone on the machine while it is
measured, but for the load generator.
"""

import argparse
import base64
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.shared.common import free_port, lay_out_checkpoints, machine, process, service, table
from benchmarks.shared.load import Plan, bodies, run
from models.data.images import encode
from models.sampling.engine import Sampler

HEAD = ("model", "server", "clients", "images/s", "p50, ms", "p95, ms", "p99, ms")
SERVERS = ("fewstep", "litserve", "bento", "ray", "fastapi")
NEEDS = {"bento": "bentoml", "ray": "ray"}
"""Packages that are in no extra."""
READY = {"bento": "/readyz", "ray": "/-/healthz"}
STEPS = {"digits": 4, "paper": 1, "tiny": 1}


@contextmanager
def running(server: str, model: str, steps: int, folder: Path, checkpoints: Path) -> Iterator[tuple[int, str]]:
    """One of the servers; gives port and path."""
    if server == "fewstep":
        with service(folder, checkpoints, default_model=model, log_level="WARNING") as port:
            yield port, "/generate"
        return
    port = free_port()
    checkpoint = str(checkpoints / model / f"{steps}-step")
    module = (f"benchmarks.shared.{server}_server", checkpoint, str(port))
    with process(*module, log=folder / f"{server}.log", environment={}, ready=READY.get(server, "/health"), port=port):
        yield port, "/predict"


def main() -> None:
    """Measure every server with every model and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--models", nargs="+", default=list(STEPS), choices=STEPS)
    there = [server for server in SERVERS if server not in NEEDS or find_spec(NEEDS[server])]
    parser.add_argument("--servers", nargs="+", default=there, choices=SERVERS)
    options = parser.parse_args()
    print(machine(), "\n")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints = lay_out_checkpoints(folder, options.models)
        for model in options.models:
            rows += measure(model, STEPS[model], folder, checkpoints, options)
    print(table(HEAD, rows))


def measure(
    model: str, steps: int, folder: Path, checkpoints: Path, options: argparse.Namespace
) -> Sequence[list[object]]:
    """Rows of the table."""
    seeds = range(64)
    images = Sampler(checkpoints / model / f"{steps}-step").sample(seeds=seeds)
    pictures = [base64.b64encode(encode(image, "png")).decode() for image in images]
    rows: list[list[object]] = []
    for server in options.servers:
        with running(server, model, steps, folder, checkpoints) as (port, path):
            facts = {"model": model, "steps": steps} if server == "fewstep" else {}
            run(Plan(port, path, bodies(seeds, **facts), pictures, options.seconds / 2, 16))
            for clients in options.clients:
                report = run(Plan(port, path, bodies(seeds, **facts), pictures, options.seconds, clients))
                rows.append([model, server, clients, report.throughput, *report.milliseconds])
        print(f"{model}: {server} done", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
