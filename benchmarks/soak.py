"""Whether anything grows: the whole service for an hour of mixed work, with the memory of each of its processes.

``python -m benchmarks.soak --minutes 60 --picture soak.png``. New families come every few seconds, are sampled, and are
deleted a while later; beside them single requests, grids and bulk results, one short job of distillation after the
other, each promoted and rolled back, then deleted. The cache of checkpoints is smaller than what is in use, so that
loading and forgetting never stop. Linux only: descriptors and memory are the kernel's.
"""

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

import httpx
import psutil
from redis import Redis

from benchmarks.shared.common import machine, service, table
from core.catalog.card import SHIPPED_CHECKPOINTS

CACHE_BYTES = 12_000_000
FAMILIES = 6
"""That are there at a time, each of 11 MB."""
RESULT_TTL_S = 120
"""An hour's results would be all that is seen of Redis."""
LOOK_EVERY_S = 10
WARM_S = 600
"""After which nothing may grow any more."""
ROLES = {
    "core.local.redis_server": "Redis",
    "valkey": "Redis",
    "app": "API",
    "worker sampling": "sampling worker",
    "worker distillation": "distillation worker",
}

Point = tuple[float, str, int, int, int]
"""Seconds, process, and its bytes of memory, descriptors and threads."""


class Soak:
    """What keeps the service busy; each piece of work is a method that goes on until ``over`` is set."""

    def __init__(self, port: int, checkpoints: Path) -> None:
        self._checkpoints = checkpoints
        self._url = f"http://127.0.0.1:{port}"
        self.over = Event()
        self.done: Counter[str] = Counter()

    def families(self, every_s: float) -> None:
        """A new family every so often, sampled at once in each of its steps; the oldest goes."""
        with self._client() as api:
            for number in count():
                name = f"family-{number}"
                shutil.copytree(SHIPPED_CHECKPOINTS / "digits", self._checkpoints / f".{name}")
                (self._checkpoints / f".{name}").rename(self._checkpoints / name)
                while api.get(f"/models/{name}/1-step").status_code == 404 and not self.over.wait(0.2):
                    pass  # the catalogue looks once a second
                for steps in (1, 2, 4, 8):
                    self._generate(api, "request of a new family", model=name, steps=steps, n=2, seed=number)
                shutil.rmtree(self._checkpoints / f"family-{number - FAMILIES}", ignore_errors=True)
                self.done["new family"] += 1
                if self.over.wait(every_s):
                    return

    def requests(self) -> None:
        """One after the other, in each of the media types."""
        types = ("image/png", "application/json", "application/zip", "application/x-npy", "image/webp")
        with self._client() as api:
            for number in count():
                self._generate(api, "request", accept=types[number % len(types)], n=1 + number % 20, seed=number)
                if self.over.wait(0.2):
                    return

    def bulks(self) -> None:
        """Results of 1,000 images, fetched or, every other one, cancelled."""
        with self._client() as api:
            for number in count():
                headers = {"Prefer": "respond-async", "Accept": "application/x-npy"}
                body = {"n": 1000, "steps": 1, "seed": number}
                place = api.post("/generate", json=body, headers=headers).headers["Location"]
                if number % 2:
                    self.over.wait(1)
                    api.delete(place)
                while not self.over.wait(1) and api.get(place).status_code == 202:
                    pass
                self.done["bulk"] += 1
                if self.over.wait(10):
                    return

    def jobs(self) -> None:
        """One after the other: made, promoted, rolled back and deleted."""
        with self._client() as api:
            for number in count():
                body = {
                    "teacher": "digits/8-step",
                    "name": f"job-{number}",
                    "iterations": 4,
                    "batch_size": 8,
                    "promote": "always",
                    "evaluate": {"samples": 64},
                }
                answer = api.post("/distill-jobs", json=body)
                answer.raise_for_status()
                place = answer.headers["Location"]
                while (state := api.get(place).json()["state"]) not in ("succeeded", "failed", "cancelled"):
                    if self.over.wait(1):
                        return
                for steps in (4, 2, 1):
                    api.post(f"/models/digits/{steps}/rollback")
                self.done[f"job {state}"] += 1
                self.done["job deleted"] += api.delete(place).status_code == 204
                if self.over.wait(1):
                    return

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=120)

    def _generate(self, api: httpx.Client, kind: str, *, accept: str = "image/png", **body: object) -> None:
        status = api.post("/generate", json=body, headers={"Accept": accept}).status_code
        self.done[kind if status == 200 else f"{kind}: {status}"] += 1


def role(process: psutil.Process) -> str | None:
    """What a process of the service is called here."""
    command = " ".join(process.cmdline())
    if "multiprocessing" in command:
        return "training process"
    return next((name for part, name in ROLES.items() if f" {part}" in command or f"/{part}" in command), None)


def look(seconds: float) -> Iterator[Point]:
    """The processes of the service now, which are ours."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if name := role(process):
                yield seconds, name, process.memory_info().rss, process.num_fds(), process.num_threads()


def redis_of_service() -> Redis:
    """The Redis that ``make run`` has started for the service."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if role(process) == "API":
                return Redis.from_url(process.environ()["FEWSTEP_REDIS_URL"])
    raise SystemExit("there is no API")


def watch(soak: Soak, *, seconds: float) -> list[Point]:
    """Look every few seconds until the time is over."""
    points: list[Point] = []
    redis, began = redis_of_service(), time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        points += look(now)
        facts = redis.info()
        points.append((now, "data in Redis", facts["used_memory"], facts["connected_clients"], 0))
        time.sleep(LOOK_EVERY_S)
    soak.over.set()
    return points


def between(points: list[Point], name: str, first: float, last: float) -> list[Point]:
    """What was seen of a process in a span of seconds."""
    return [point for point in points if point[1] == name and first <= point[0] <= last]


def report(points: list[Point], *, seconds: float) -> str:
    """Each process after the warming up and in the last minutes: largest figures of each span."""
    span = min(WARM_S, seconds / 3)
    rows: list[list[object]] = []
    for name in dict.fromkeys(point[1] for point in points):
        early, late = between(points, name, span, 2 * span), between(points, name, seconds - span, seconds)
        if not early or not late:
            continue
        before, after = (tuple(max(column) for column in list(zip(*seen, strict=True))[2:]) for seen in (early, late))
        memory = [round(most / 1e6) for most in (before[0], after[0])]
        rows.append([name, *memory, memory[1] - memory[0], *(f"{before[i]} → {after[i]}" for i in (1, 2))])
    minutes = f"minutes {span / 60:.0f}-{2 * span / 60:.0f}", f"last {span / 60:.0f} minutes"
    return table(("process", *(f"MB, {part}" for part in minutes), "growth", "descriptors", "threads"), rows)


def draw(points: list[Point], picture: Path) -> None:
    """Memory over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4), dpi=100, layout="constrained")
    for name in dict.fromkeys(point[1] for point in points):
        seen = between(points, name, 0, float("inf"))
        style = "." if name == "training process" else "-"
        axes.plot(
            [point[0] / 60 for point in seen], [point[2] / 1e6 for point in seen], style, markersize=2, label=name
        )
    axes.set(xlabel="minutes", ylabel="MB", ylim=(0, None))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(picture)


def main() -> None:
    """Run, then print what was done and what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=5, help="seconds between two new families")
    parser.add_argument("--picture", type=Path, help="PNG of memory over time to write")
    options = parser.parse_args()
    print(machine(), "\n", flush=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        checkpoints = Path(name, "checkpoints")
        shutil.copytree(SHIPPED_CHECKPOINTS / "digits", checkpoints / "digits")
        settings = {"cache_bytes": CACHE_BYTES, "result_ttl_s": RESULT_TTL_S}
        port = stack.enter_context(service(Path(name), checkpoints, **settings))
        soak = Soak(port, checkpoints)
        work: list[Callable[[], None]] = [soak.requests, soak.bulks, soak.jobs, lambda: soak.families(options.every)]
        threads = [Thread(target=piece, daemon=True) for piece in work]
        for thread in threads:
            thread.start()
        points = watch(soak, seconds=60 * options.minutes)
        failed = [thread for thread in threads if not thread.is_alive()]
        for thread in threads:
            thread.join(60)
    print(report(points, seconds=60 * options.minutes), "\n")
    print(", ".join(f"{number:,} {kind}" for kind, number in sorted(soak.done.items())))
    if options.picture:
        draw(points, options.picture)
    if failed:
        raise SystemExit("a client stopped before the end")


if __name__ == "__main__":
    main()
