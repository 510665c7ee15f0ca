"""A load generator: real HTTP, pictures checked, in a process of its own so that it takes no time of the server's.

``python -m benchmarks.shared.load`` reads a plan as JSON from standard input and writes a report as JSON. wrk, hey and
oha neither vary the body nor check the answer; Locust and k6 take more of a small machine than the servers measured.
"""

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What to send.

    Attributes:
        port: Where to, on this machine.
        path: Of the endpoint.
        bodies: JSON documents, sent in turn.
        expected: The answer to each, in base64.
        seconds: How long new requests are sent, after a quarter of it that is not counted.
        clients: Requests at a time (closed loop), or most at a time (open loop).
        rate: Requests a second whatever the answers do (open loop), or None.
    """

    port: int
    path: str
    bodies: list[Any]
    expected: list[str]
    seconds: float
    clients: int
    rate: float | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"Accept": "image/png"})


@dataclass
class Report:
    """What came back: answers a second, seconds that each took, and what was wrong."""

    throughput: float
    latencies: list[float]
    refused: int
    wrong: int

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")

    @property
    def milliseconds(self) -> list[float]:
        """p50, p95, p99."""
        return [1000 * self.quantile(share) for share in (0.5, 0.95, 0.99)]


def run(plan: Plan) -> Report:
    """Carry out a plan in a process of its own; stops the benchmark if a picture is not the expected one."""
    command = [sys.executable, "-m", "benchmarks.shared.load"]
    folder = Path(__file__).parents[2]
    done = subprocess.run(
        command, input=json.dumps(asdict(plan)).encode(), capture_output=True, cwd=folder, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    report = Report(**json.loads(done.stdout))
    if report.wrong:
        raise SystemExit(f"{report.wrong} answers were not the expected pictures")
    return report


class _Client:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = [_request(plan, body) for body in plan.bodies]
        self._expected = [base64.b64decode(answer) for answer in plan.expected]
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.number = 0
        self.report = Report(0, [], 0, 0)
        self.counted_from = time.perf_counter() + plan.seconds / 4
        self.until = self.counted_from + plan.seconds

    async def once(self) -> None:
        index = self.number % len(self._requests)
        self.number += 1
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._plan.port)
        started = time.perf_counter()
        writer.write(self._requests[index])
        status, body = await _read_answer(reader)
        ended = time.perf_counter()
        self._idle.append((reader, writer))
        if status == 200 and body != self._expected[index]:
            self.report.wrong += 1
        elif status not in (200, 503):
            raise SystemExit(f"status {status}: {body[:500]!r}")
        if self.counted_from <= ended < self.until:
            if status == 200:
                self.report.latencies.append(ended - started)
            else:
                self.report.refused += 1

    async def closed(self) -> None:
        async def client() -> None:
            while time.perf_counter() < self.until:
                await self.once()

        await asyncio.gather(*(client() for _ in range(self._plan.clients)))

    async def open(self, rate: float) -> None:
        started, sent, running = time.perf_counter(), 0, set[asyncio.Task[None]]()
        while (now := time.perf_counter()) < self.until:
            while sent < (now - started) * rate and len(running) < self._plan.clients:
                task = asyncio.create_task(self.once())
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            await asyncio.sleep(0.001)
        await asyncio.gather(*running)


def _request(plan: Plan, body: Any) -> bytes:  # noqa: ANN401
    document = json.dumps(body).encode()
    headers = {"Host": "x", "Content-Type": "application/json", "Content-Length": len(document), **plan.headers}
    head = "\r\n".join([f"POST {plan.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())])
    return head.encode() + b"\r\n\r\n" + document


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


def bodies(seeds: Sequence[int], **facts: object) -> list[dict[str, object]]:
    """Requests for one image each."""
    return [{"seed": seed, "n": 1, **facts} for seed in seeds]


async def _main() -> None:
    plan = Plan(**json.load(sys.stdin))
    client = _Client(plan)
    await (client.closed() if plan.rate is None else client.open(plan.rate))
    client.report.throughput = len(client.report.latencies) / plan.seconds
    json.dump(asdict(client.report), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
