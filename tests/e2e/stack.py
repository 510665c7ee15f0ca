"""The whole service as real processes: Redis, a sampling worker, an API, and another one for who asks for it."""

import re
import signal
from pathlib import Path

import httpx

from tests.processes import NO_TLS, Process, RedisServer, free_port, module_of, wait_until
from tests.prometheus import Scrape, scrape

MAX_IMAGES = 5000
MAX_WAIT_S = 30
HEARTBEAT_S = 2.0
HASTY_DEADLINE_S = 1.0


class Stack:
    """Processes by name: ``sampler``, ``api``, and once it was used ``hasty``, an API with a short deadline.

    What a test adds to them is named ``sampler-…`` or ``api-…``, and is the test's to stop.
    """

    def __init__(self, folder: Path, checkpoints: Path, *, password: str = "", **changes: str) -> None:
        self.folder = folder
        self.checkpoints = checkpoints
        self._changes = changes
        self.redis = RedisServer(folder, password=password)
        self.ports = {name: free_port() for name in ("sampler", "distiller", "api", "hasty")}
        self.processes: dict[str, Process] = {}
        for name in ("sampler", "api"):
            self.start(name)
        self.api, self._hasty = (
            httpx.Client(base_url=f"http://127.0.0.1:{self.ports[name]}", timeout=90, verify=NO_TLS)
            for name in ("api", "hasty")
        )

    @property
    def hasty(self) -> httpx.Client:
        """A client of the API with a short deadline, which lives."""
        if "hasty" not in self.processes:
            self.start("hasty")
            wait_until(lambda: says_ok(self._hasty, "/livez"), what="the hasty API")
        return self._hasty

    def start(self, name: str, **changes: str) -> None:
        """Start one process, with other variables where said so, and another ``module`` likewise."""
        kind = "api" if name == "hasty" else name.partition("-")[0]
        port = self.ports.setdefault(name, free_port())
        environment = {
            "FEWSTEP_REDIS_URL": self.redis.url,
            "FEWSTEP_CHECKPOINTS": str(self.checkpoints),
            "FEWSTEP_DEFAULT_MODEL": "digits",
            "FEWSTEP_LOG_FORMAT": "json",
            "FEWSTEP_MAX_IMAGES": str(MAX_IMAGES),
            "FEWSTEP_MAX_WAIT_S": str(MAX_WAIT_S),
            "FEWSTEP_HEARTBEAT_S": str(HEARTBEAT_S),
            {"api": "FEWSTEP_PORT"}.get(kind, f"FEWSTEP_{kind.upper()}_METRICS_PORT"): str(port),
            "FEWSTEP_DEVICE": "cpu",
            "FEWSTEP_VAR": str(self.folder / "var"),
            "FEWSTEP_SLICE_S": "2",
        }
        if name == "hasty":
            environment["FEWSTEP_DEADLINE_S"] = str(HASTY_DEADLINE_S)
        log = self.folder / f"{name}.log"
        module = [changes.pop("module"), *module_of(kind)[1:]] if "module" in changes else module_of(kind)
        self.processes[name] = Process(*module, environment=environment | self._changes | changes, log=log)

    def stop(self, name: str, sign: signal.Signals = signal.SIGTERM) -> int:
        """End one process. Returns its exit code."""
        return self.processes.pop(name).stop(sign)

    def ensure_ready(self) -> None:
        """Start what a test has ended, and wait until all of it serves."""
        for name in ("sampler", "api"):
            if name not in self.processes or not self.processes[name].alive:
                self.start(name)
        wait_until(lambda: is_ready(self.api), what=f"ready ({self.folder})")

    def log(self, name: str) -> str:
        """What a process has logged."""
        return (self.folder / f"{name}.log").read_text()

    def metric(self, name: str, series: str) -> float:
        """Sum of the samples whose series match the regular expression, as a process shows them now."""
        text = httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics", verify=NO_TLS).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(series, line))

    def scrape(self, name: str) -> Scrape:
        """All that a process shows now."""
        return scrape(f"http://127.0.0.1:{self.ports[name]}")

    def close(self) -> None:
        """End everything, Redis last."""
        self.api.close()
        self._hasty.close()
        for name in list(self.processes):
            self.stop(name)
        self.redis.stop()


def is_ready(client: httpx.Client) -> bool:
    """Whether an API says that it is ready."""
    return says_ok(client, "/readyz")


def says_ok(client: httpx.Client, path: str) -> bool:
    """Whether an API is there and says 200."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False
