"""What becomes of ``/generate`` when something is killed under load, at random moments.

``python -m benchmarks.faults --kills 200``. Real Redis, two APIs, two sampling workers, clients that wait for their
answer and clients that come back for it, each picture checked. One process after the other is killed with SIGKILL and
started again, as a supervisor does it. Whatever was accepted must come to its one and only picture. A client asks again
where its connection broke, or where it is told to.

The table says of each kind of process how often it was killed, what clients had accepted by then and had not got yet,
what of that was lost or wrong, and how long it took until an answer came that was asked for after the kill, and until
all that was accepted before it had come.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.shared.common import lay_out_checkpoints, machine, table
from models.data.images import encode
from models.sampling.engine import Sampler
from tests.e2e.stack import HEARTBEAT_S, Stack
from tests.processes import wait_until

VICTIMS = {"an API": ("api", "api-second"), "a worker": ("sampler", "sampler-second"), "Redis": ("redis",)}
MODEL = "tiny"
"""The least network: what is killed is the service, and its workers are soon back."""
STEPS = 1
SEEDS = 64
WAITING, COMING_BACK = 6, 6
"""Clients of either kind."""
MOST_S = 120.0
"""Without an end after so long something is lost."""
SETTLED_S = 1.0
PNG = {"Accept": "image/png"}


@dataclass
class Seen:
    """What clients have seen.

    Attributes:
        open: When each request was accepted, or first sent by who waits for it, that has no answer yet.
        answered: The latest time at which an answer's request was first sent.
        wrong: Answers with another picture, or with another one at the second time.
        lost: Of what was accepted, those that came to no picture.
    """

    open: dict[int, float] = field(default_factory=dict)
    answered: float = 0.0
    answers: int = 0
    wrong: int = 0
    lost: int = 0


class Clients:
    """Closed loop, over both APIs."""

    def __init__(self, addresses: Iterable[str], pictures: list[bytes]) -> None:
        self.seen = Seen()
        self.over = False
        self.addresses = list(addresses)
        self._pictures = pictures
        self._number = 0

    async def run(self) -> None:
        """Until ``over``."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=MOST_S, limits=limits) as http:
            waiting = [self._loop(http, self._wait) for _ in range(WAITING)]
            await asyncio.gather(*waiting, *(self._loop(http, self._come_back) for _ in range(COMING_BACK)))

    async def _loop(self, http: httpx.AsyncClient, one) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        while not self.over:
            self._number += 1
            number, sent = self._number, time.monotonic()
            picture = self._pictures[number % SEEDS]
            try:
                await asyncio.wait_for(one(http, number, picture), MOST_S)
            except TimeoutError:
                self.seen.lost += 1
            else:
                self.seen.answered = max(self.seen.answered, sent)
                self.seen.answers += 1
            self.seen.open.pop(number, None)

    async def _wait(self, http: httpx.AsyncClient, number: int, picture: bytes) -> None:
        self.seen.open[number] = time.monotonic()
        answer = await self._until(http, "POST", "/generate", 200, json=self._body(number), headers=PNG)
        self.seen.wrong += answer.content != picture

    async def _come_back(self, http: httpx.AsyncClient, number: int, picture: bytes) -> None:
        headers = {**PNG, "Prefer": "respond-async"}
        accepted = await self._until(http, "POST", "/generate", 202, json=self._body(number), headers=headers)
        self.seen.open[number] = time.monotonic()
        for _ in range(2):
            answer = await self._until(http, "GET", accepted.headers["location"], 200)
            self.seen.wrong += answer.content != picture

    async def _until(
        self, http: httpx.AsyncClient, method: str, path: str, status: int, **what: object
    ) -> httpx.Response:
        """Ask either API until one answers so."""
        while True:
            try:
                url = random.choice(self.addresses) + path
                answer = await http.request(method, url, **what)  # type: ignore[arg-type]
                if answer.status_code == status:
                    return answer
                if answer.status_code not in (202, 503):
                    self.seen.lost += 1
                    raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)

    def _body(self, number: int) -> dict[str, object]:
        return {"model": MODEL, "seed": number % SEEDS, "n": 1, "steps": STEPS}


async def kill(stack: Stack, name: str) -> None:
    """As a machine that loses power, and start it again."""
    if name == "redis":
        stack.redis.stop(signal.SIGKILL)
        await asyncio.to_thread(stack.redis.start)
    else:
        stack.stop(name, signal.SIGKILL)
        stack.start(name)


async def measure(stack: Stack, clients: Clients, kills: int) -> dict[str, list[tuple[int, float, float]]]:
    """Of each kind what was open at each kill, seconds until a new answer, and seconds until all that was open."""
    rows: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    seen = clients.seen
    for number in range(kills):
        kind = list(VICTIMS)[number % len(VICTIMS)]
        name = VICTIMS[kind][number // len(VICTIMS) % len(VICTIMS[kind])]
        await asyncio.sleep(SETTLED_S * (1 + random.random()))
        before, at = set(seen.open), time.monotonic()
        await kill(stack, name)
        answered = settled = 0.0
        while not (answered and settled):
            await asyncio.sleep(0.005)
            now = time.monotonic() - at
            if not answered and seen.answered > at:
                answered = now
            if not settled and not before & set(seen.open):
                settled = now
        rows[kind].append((len(before), answered, settled))
        counts = f"{seen.answers} answers, {seen.lost} lost, {seen.wrong} wrong"
        print(f"{number + 1}/{kills} {name}: {answered:.2f} s, {settled:.2f} s; {counts}", file=sys.stderr, flush=True)
        await asyncio.to_thread(wait_until, lambda: all(map(_serves, clients.addresses)), what="all of it")
    return rows


async def load(stack: Stack, clients: Clients, kills: int) -> dict[str, list[tuple[int, float, float]]]:
    """Kill under load."""
    running = asyncio.create_task(clients.run())
    killing = asyncio.create_task(measure(stack, clients, kills))
    await asyncio.wait({running, killing}, return_when=asyncio.FIRST_COMPLETED)
    clients.over = True
    await running
    return await killing


def main() -> None:
    """Measure and print the table; ends with an error where anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    print(machine(), f"; a heartbeat each {HEARTBEAT_S:g} s\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints = lay_out_checkpoints(folder, [MODEL])
        sampler = Sampler(checkpoints / MODEL / f"{STEPS}-step")
        pictures = [encode(image, "png") for image in sampler.sample(seeds=range(SEEDS))]
        stack = Stack(folder, checkpoints, FEWSTEP_DEFAULT_MODEL=MODEL)
        try:
            for second in ("sampler-second", "api-second"):
                stack.start(second)
            addresses = [f"http://127.0.0.1:{stack.ports[name]}" for name in VICTIMS["an API"]]
            wait_until(lambda: all(map(_serves, addresses)), what="both APIs and both workers")
            clients = Clients(addresses, pictures)
            rows = asyncio.run(load(stack, clients, options.kills))
        finally:
            stack.close()
    seen = clients.seen
    print(
        table(
            (
                "killed",
                "times",
                "open at the kill",
                "until a new answer, s: p50",
                "most",
                "until all open: p50",
                "most",
            ),
            [
                [
                    kind,
                    len(found),
                    sum(count for count, *_ in found),
                    *_middle_and_most(found, 1),
                    *_middle_and_most(found, 2),
                ]
                for kind, found in rows.items()
            ],
        )
    )
    print(f"\n{seen.answers} answers, {seen.lost} lost, {seen.wrong} wrong")
    if seen.lost or seen.wrong:
        raise SystemExit(1)


def _serves(address: str) -> bool:
    """Whether an API is there and knows of both workers."""
    try:
        checks = httpx.get(f"{address}/readyz", timeout=10).json()["checks"]
    except httpx.TransportError:
        return False
    return len(checks["sampling"].get("workers", [])) == 2


def _middle_and_most(rows: list[tuple[int, float, float]], column: int) -> tuple[float, float]:
    ordered = sorted(row[column] for row in rows)
    return ordered[len(ordered) // 2], ordered[-1]


if __name__ == "__main__":
    main()
