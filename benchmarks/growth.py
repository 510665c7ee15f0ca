"""What a request costs where there is much of everything: families, queued requests, ended jobs, workers.

``python -m benchmarks.growth``. A real API and a real Redis. Networks are fake: families have cards and no weights, and
what waits is taken and ended, in the scripts that workers run, by a thread of this benchmark that answers all with one
picture. So what is measured is the path of a request through API and Redis, in CPU of each a request, 16 clients in a
closed loop; what goes on beside requests, as looking for new families, counts too.
"""

import argparse
import asyncio
import base64
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from redis import Redis

from benchmarks.shared.common import machine, table
from benchmarks.shared.load import Plan, bodies, run
from core import presence
from core.catalog.card import CARD_NAME, SHIPPED_CHECKPOINTS
from core.connections import connect_async
from core.generation import records, work
from core.generation.records import Status
from core.generation.work import End, Room
from core.jobs.store import JobStore
from core.queues import Queue
from core.settings import Settings
from tests.generations import make_generation
from tests.jobs import create, fail
from tests.processes import Process, RedisServer, free_port, module_of, wait_until

PICTURE = b"a picture"
CLIENTS = 16
HEARTBEAT_S = 100.0
WORKER = "fake-0"


@dataclass(frozen=True)
class Load:
    """How much there is of each."""

    families: int = 1
    queued: int = 1
    jobs: int = 1
    workers: int = 1


class FakeWorker:
    """A thread that takes what is interactive, and ends it at once; a context manager."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._over = False
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "FakeWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()

    def _work(self) -> None:
        headers = {"Fewstep-Precision": "fp32"}
        while not self._over:
            taken, _ = work.take(self._redis, WORKER, Room(64), waits=True)
            ends = [End(one.id, Status.SUCCEEDED, headers=headers, result=PICTURE) for one in taken]
            if ends:
                work.finish(self._redis, WORKER, ends, ttl_s=60)
            else:
                work.wait_for_bell(self._redis, 0.2)


def lay_out(folder: Path, families: int) -> None:
    """Families of one card each."""
    card = json.loads((SHIPPED_CHECKPOINTS / "digits" / "1-step" / CARD_NAME).read_text())
    for number in range(families):
        checkpoint = folder / ("digits" if number == 0 else f"family-{number}") / "1-step"
        checkpoint.mkdir(parents=True)
        (checkpoint / CARD_NAME).write_text(json.dumps(card))


async def fill(settings: Settings, redis: Redis, load: Load) -> None:
    """Put into Redis what there is much of."""
    for number in range(load.workers):
        presence.announce(redis, Queue.SAMPLING, f"fake-{number}", {"host": "x"}, heartbeat_s=HEARTBEAT_S)
    store = JobStore(redis)
    for number in range(load.jobs):
        fail(store, create(store, name=f"job-{number}"))
    async with connect_async(settings) as api:
        for _ in range(load.queued):
            waits = make_generation(model="digits", checkpoint="1-step", n=1, priority="bulk")
            await records.submit(api, waits, ttl_s=3600)


@contextmanager
def api(folder: Path, load: Load) -> Iterator[tuple[int, dict[str, psutil.Process], Redis]]:
    """An API with all that: its port, the processes and Redis."""
    lay_out(folder / "checkpoints", load.families)
    server, port = RedisServer(folder), free_port()
    settings = Settings(redis_url=server.url)
    environment = {
        "FEWSTEP_REDIS_URL": server.url,
        "FEWSTEP_CHECKPOINTS": str(folder / "checkpoints"),
        "FEWSTEP_VAR": str(folder / "var"),
        "FEWSTEP_PORT": str(port),
        "FEWSTEP_LOG_FORMAT": "json",
    }
    process = Process(*module_of("api"), environment=environment, log=folder / "api.log")
    try:
        with Redis.from_url(server.url) as redis:
            asyncio.run(fill(settings, redis, load))
            wait_until(lambda: _answers(port), what="the API")
            listener = next(
                one.pid
                for one in psutil.net_connections("tcp")
                if getattr(one.laddr, "port", 0) == server.port and one.pid
            )
            yield port, {"API": psutil.Process(process.pid), "Redis": psutil.Process(listener)}, redis
    finally:
        process.stop()
        server.stop()


def measure(load: Load, seconds: float) -> dict[str, float]:
    """Milliseconds of CPU a request, by process, and of waiting, and bytes of the first page of ``GET /models``."""
    folder = Path(tempfile.mkdtemp())
    try:
        with api(folder, load) as (port, processes, redis), FakeWorker(redis):
            picture = base64.b64encode(PICTURE).decode()
            plan = Plan(port, "/generate", bodies(range(64), model="digits", steps=1), [picture] * 64, 1, CLIENTS)
            run(plan)
            before = {name: _cpu(process) for name, process in processes.items()}
            report = run(Plan(**{**vars(plan), "seconds": seconds}))
            requests = report.throughput * seconds * 1.25  # a quarter more is sent before counting begins
            spent = {name: 1000 * (_cpu(process) - before[name]) / requests for name, process in processes.items()}
            listed = len(httpx.get(f"http://127.0.0.1:{port}/models", timeout=60).content)
            return {**spent, "both": sum(spent.values()), "p50": report.milliseconds[0], "models": listed / 1000}
    finally:
        shutil.rmtree(folder)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    print(machine(), "\n")
    much = Load(families=3000, queued=10_000, jobs=1000, workers=64)
    loads = {
        "one of each": Load(),
        "3,000 families": Load(families=much.families),
        "10,000 queued requests": Load(queued=much.queued),
        "1,000 ended jobs": Load(jobs=much.jobs),
        "64 workers": Load(workers=much.workers),
        "all of it": much,
        "one of each, again": Load(),
    }
    found = {name: measure(load, options.seconds) for name, load in loads.items()}
    first = found["one of each"]
    rows = [
        [name, of["API"], of["Redis"], of["both"], of["both"] / first["both"], of["p50"], of["models"]]
        for name, of in found.items()
    ]
    head = ("", "API, ms a request", "Redis, ms", "both, ms", "of one of each", "p50, ms", "`GET /models`, kB")
    print(table(head, rows))


if __name__ == "__main__":
    main()
