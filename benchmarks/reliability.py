"""How long a distillation job stands still when something dies, and what it has to do again.

``python -m benchmarks.reliability``. Real Redis, real workers, the settings of the service; a job of PD on a tiny
network, so that what is measured is the machinery and not the training. Each fault hits a running job while a second
worker is there or, where that is said, is started by then.
"""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.shared.common import machine, table
from core.jobs.record import ENDED
from core.settings import Settings
from models.checkpoints.checkpoint import save_checkpoint
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet
from tests.e2e.yard import Yard
from tests.processes import wait_until

TINY = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)


def kill_worker(yard: Yard) -> None:
    """As a machine that loses power."""
    yard.stop("one", signal.SIGKILL)


def kill_child(yard: Yard) -> None:
    """As the kernel when memory runs out."""
    worker = yard.workers["one"].pid
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    busiest = max(children, key=lambda pid: int(Path(f"/proc/{pid}/stat").read_text().split()[13]))
    os.kill(int(busiest), signal.SIGKILL)


def stop_worker(yard: Yard) -> None:
    """As a deploy."""
    yard.stop("one")


def restart_redis(yard: Yard) -> None:
    """Killed, and started again on its append-only file after a second."""
    yard.redis.stop(signal.SIGKILL)
    time.sleep(1)
    yard.redis.start()


FAULTS: dict[str, Callable[[Yard], None]] = {
    "`kill -9` of the worker": kill_worker,
    "`kill -9` of the process that trains": kill_child,
    "SIGTERM to the worker": stop_worker,
    "`kill -9` of Redis, started again after 1 s": restart_redis,
}


def measure(yard: Yard, fault: Callable[[Yard], None]) -> tuple[float, int]:
    """Seconds from a fault until training went on, and iterations that were done again."""
    for name in ("one", "two"):
        if name not in yard.workers:
            yard.start(name)
    job_id = yard.submit(iterations=100_000)
    # The first worker is to have it: whoever took it, the second is started anew.
    yard.wait_for_iteration(job_id, least=30)
    holder = next(name for name, worker in yard.workers.items() if f"-{worker.pid}-" in yard.record(job_id).worker)
    if holder != "one":
        yard.workers["one"], yard.workers["two"] = yard.workers["two"], yard.workers["one"]
    before = yard.record(job_id)
    began = time.monotonic()
    fault(yard)
    wait_until(lambda: yard.record(job_id).fence > before.fence, timeout_s=120, what="the next slice")
    resumed = yard.record(job_id)
    wait_until(lambda: yard.record(job_id).updated > resumed.updated, timeout_s=120, what="progress")
    seconds = time.monotonic() - began
    saved = [event for event in yard.store.events(job_id) if event.kind == "saved"]
    at = int(saved[-1].data.rpartition(" ")[2].rstrip("}")) if saved else 0
    yard.store.cancel(job_id, ttl_s=100)
    wait_until(lambda: yard.record(job_id).state in ENDED, timeout_s=60, what="the end")
    return seconds, max(before.iteration - at, 0)


def main() -> None:
    """Measure each fault and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slice-s", type=float, default=5, help="of training")
    options = parser.parse_args()
    print(machine(), "\n")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        family = Path(name, "checkpoints", "tiny")
        for steps in (8, 4):
            torch.manual_seed(steps)
            save_checkpoint(family / f"{steps}-step", build_unet(TINY), rows=step_rows(steps), method="base")
        for fault, inflict in FAULTS.items():
            yard = Yard(Path(name, f"yard-{len(rows)}"), family)
            defaults = Settings()
            changes = {"heartbeat_s": defaults.heartbeat_s, "lease_s": defaults.lease_s, "slice_s": options.slice_s}
            yard.settings = yard.settings.model_copy(update=changes)
            try:
                seconds, again = measure(yard, inflict)
            finally:
                yard.close()
            rows.append([fault, seconds, again])
    print(table(("fault", "seconds until training went on", "iterations done again"), rows))


if __name__ == "__main__":
    main()
