"""What a request for one image costs beside sampling: CPU by process, and commands of Redis.

``python -m benchmarks.request_cost``. Closed loop of 64 clients on ``digits`` (``--clients``, ``--steps``), every
picture checked. Sampling is what the busiest threads of the worker take, of which there is one a core. Commands are
those that clients send, and those that scripts run within Redis.
"""

import argparse
import base64
import os
import tempfile
from collections import Counter
from pathlib import Path

from redis import Redis

from benchmarks.shared.common import lay_out_checkpoints, machine, service, table
from benchmarks.shared.load import Plan, bodies, run
from models.data.images import encode
from models.sampling.engine import Sampler
from models.sampling.lanes import cores

TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {"app": "API", "sampling": "sampling worker", "redis-server": "Redis", "distillation": "distillation worker"}
IN_SCRIPTS = "scripts"


def processes(port: int) -> dict[str, Path]:
    """Folders in ``/proc`` of the service at ``port``, by what they are."""
    found: dict[str, Path] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"FEWSTEP_PORT={port}\0".encode() in environment:
            words = {Path(word.decode(errors="replace")).name for word in command}
            found |= {name: folder for word, name in NAMES.items() if word in words}
    return found


def seconds(folder: Path) -> float:
    """CPU that a process or thread has taken."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def threads(folder: Path) -> dict[str, float]:
    """CPU that each thread has taken."""
    return {thread.name: seconds(thread) for thread in (folder / "task").iterdir()}


def redis_of(folder: Path) -> Redis:
    """That of the service, from the environment of its API."""
    environment = dict(
        item.split("=", 1) for item in (folder / "environ").read_text(errors="replace").split("\0") if "=" in item
    )
    return Redis.from_url(environment["FEWSTEP_REDIS_URL"])


def calls(redis: Redis) -> Counter[str]:
    """How often each command was run, by clients and by scripts together."""
    stats: dict[str, dict[str, int]] = redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    print(machine(), "\n")
    seeds = range(64)
    with tempfile.TemporaryDirectory() as name:
        checkpoints = lay_out_checkpoints(Path(name), ["digits"])
        images = Sampler(checkpoints / "digits" / f"{options.steps}-step").sample(seeds=seeds)
        pictures = [base64.b64encode(encode(image, "png")).decode() for image in images]
        with service(Path(name), checkpoints, default_model="digits") as port:
            plan = Plan(port, "/generate", bodies(seeds, model="digits", steps=options.steps), pictures, 0, 0)

            def load(duration: float) -> int:
                report = run(Plan(**{**vars(plan), "seconds": duration, "clients": options.clients}))
                return round(report.throughput * duration * 1.25)  # a quarter more is sent before counting begins

            load(options.seconds / 4)
            ours = processes(port)
            with redis_of(ours["API"]) as redis:
                before, counted = {name: seconds(folder) for name, folder in ours.items()}, calls(redis)
                of_threads = threads(ours["sampling worker"])
                requests = load(options.seconds)
                after, done = {name: seconds(folder) for name, folder in ours.items()}, calls(redis) - counted
                spans = [cpu - of_threads.get(name, 0) for name, cpu in threads(ours["sampling worker"]).items()]
                device = sum(sorted(spans)[-cores() :])
    spent = {name: after[name] - before[name] for name in ours}
    spent["sampling worker"] -= device
    rows = [[name, 1000 * cpu / requests] for name, cpu in spent.items()]
    rows += [["all of these", 1000 * sum(spent.values()) / requests], ["sampling", 1000 * device / requests]]
    print(table(("", "ms of a core a request"), rows), "\n")
    print(f"{requests / options.seconds / 1.25:.0f} requests/s\n")
    print(
        table(
            ("command", "a request"),
            [[name, count / requests] for name, count in done.most_common() if count > requests / 100],
        )
    )


if __name__ == "__main__":
    main()
