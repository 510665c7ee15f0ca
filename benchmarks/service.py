"""The running service under load: throughput and latency of requests for one image each, beside the bare sampler.

``python -m benchmarks.service``. Closed loop with 1 to 64 clients, then open loop at shares of the rate at which the
closed loop saturated, for the paper's U-Net and for ``digits``; every picture is checked. For ``digits`` also without
batching. Server, load generator and Redis share the machine.
"""

import argparse
import base64
import tempfile
import time
from pathlib import Path

from benchmarks.shared.common import lay_out_checkpoints, machine, service, table
from benchmarks.shared.load import Plan, Report, bodies, run
from models.data.images import encode
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory

HEAD = ("model", "loop", "images/s", "p50, ms", "p95, ms", "p99, ms", "of the bare sampler")


def bare(folder: Path, seeds: range, seconds: float) -> tuple[float, float, list[str]]:
    """Images a second in full batches, seconds to sample and encode one image, and the pictures of ``seeds``."""
    sampler = Sampler(folder)
    pictures = [base64.b64encode(encode(image, "png")).decode() for image in sampler.sample(seeds=seeds)]
    batch = range(sampler.max_batch)
    sampler.sample(seeds=batch)
    rounds, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        sampler.sample(seeds=batch)
        rounds += 1
    throughput = rounds * len(batch) / (time.perf_counter() - started)
    singles = []
    for seed in seeds[:32]:
        before = time.perf_counter()
        encode(sampler.sample(seeds=[seed])[0], "png")
        singles.append(time.perf_counter() - before)
    return throughput, sorted(singles)[len(singles) // 2], pictures


def measure(
    model: str, steps: int, checkpoints: Path, folder: Path, options: argparse.Namespace
) -> tuple[list[list[object]], str]:
    """Rows of the table, and a line on the aims."""
    seeds = range(64)
    facts = {"model": model, "steps": steps}
    rate, single, pictures = bare(checkpoints / model / f"{steps}-step", seeds, options.seconds)
    rows: list[list[object]] = [
        [model, "bare sampler, full batches", rate, "", "", "", 1.0],
        [model, "bare sampler, one image with encoding", 1 / single, 1000 * single, "", "", ""],
    ]

    def load(port: int, clients: int, per_second: float | None = None) -> Report:
        plan = Plan(port, "/generate", bodies(seeds, **facts), pictures, options.seconds, clients, per_second)
        return run(plan)

    def note(name: str, report: Report) -> None:
        rows.append([model, name, report.throughput, *report.milliseconds, report.throughput / rate])

    best, at_32, at_1 = 0.0, 0.0, float("nan")
    with service(folder, checkpoints, default_model=model) as port:
        load(port, 16)  # warm
        for clients in options.clients:
            report = load(port, clients)
            rows.append(
                [model, f"{clients} clients", report.throughput, *report.milliseconds, report.throughput / rate]
            )
            best = max(best, report.throughput)
            at_1 = report.quantile(0.5) if clients == 1 else at_1
            at_32 = report.throughput if clients == 32 else at_32
        for share in options.shares:
            report = load(port, 512, share * best)
            name = f"open, {share * best:.0f} a second"
            rows.append([model, name, report.throughput, *report.milliseconds, report.throughput / rate])
    line = (
        f"{model}: saturated at {best / rate:.2f} of the bare sampler; p50 at one client {1000 * (at_1 - single):.1f}"
    )
    line += " ms above the bare sample-and-encode time"
    if model == "digits" and at_32:
        with service(folder, checkpoints, default_model=model, max_batch=1) as port:
            load(port, 16)
            report = load(port, 32)
        rows.append(
            [model, "32 clients, no batching", report.throughput, *report.milliseconds, report.throughput / rate]
        )
        line += f"; batching is {at_32 / report.throughput:.2f} times as fast at 32 clients"
    return rows, line


def main() -> None:
    """Measure both models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 32, 64])
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.8, 0.95], help="of saturation, open loop")
    parser.add_argument("--models", nargs="+", default=["paper", "digits"], choices=("paper", "digits"))
    parser.add_argument("--digits-steps", type=int, default=4)
    options = parser.parse_args()
    keep_memory()
    print(machine(), "\n")
    rows: list[list[object]] = []
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints = lay_out_checkpoints(folder, options.models)
        for model in options.models:
            steps = 1 if model == "paper" else options.digits_steps
            more, line = measure(model, steps, checkpoints, folder, options)
            rows += more
            lines.append(line)
    print(table(HEAD, rows), "\n")
    print("\n\n".join(lines))


if __name__ == "__main__":
    main()
