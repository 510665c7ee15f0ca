"""Real processes for tests: started on free ports, always stopped."""

import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import sample

import pytest
from redis import Redis

from core.local.procfile import read_procfile

ROOT = Path(__file__).resolve().parents[1]
PROCFILE = read_procfile(ROOT / "Procfile")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
"""What a client of object storage must have, whatever it says."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For ``verify`` of httpx, of which each client else reads the certificates of all authorities, for 50 ms."""

_SHARE = 2_000
_FIRST = 10_000 + _SHARE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = cycle(sample(range(_FIRST, _FIRST + _SHARE), _SHARE))

PATIENCE_S = 480.0
"""How long a test waits for what is to come: where something else has the cores, training yields to all."""


def free_port() -> int:
    """A port that nothing listens on, and that neither another call nor another process of tests gives.

    None of those that the kernel gives to connections, one of which might have it before it is used.
    """
    while True:
        port = next(_PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], object], *, timeout_s: float = PATIENCE_S, what: str = "condition") -> None:
    """Wait until ``condition`` is truthy; asks the less often, the longer that takes."""
    started = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started
        assert waited_s < timeout_s, f"{what} did not come true within {timeout_s} s"
        time.sleep(min(max(0.05, waited_s / 20), 0.25))


def module_of(name: str) -> list[str]:
    """The module that the Procfile runs under a name, and its arguments."""
    python, option, *module = shlex.split(PROCFILE[name])
    assert (python, option) == ("python", "-m")
    return module


class Process:
    """``python -m module`` with an environment and a log file, by a command before it where there is a ``runner``."""

    def __init__(self, *module: str, environment: dict[str, str], log: Path, runner: Sequence[str] = ()) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*runner, sys.executable, "-m", *module], env=os.environ | environment, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, sign: signal.Signals = signal.SIGTERM, *, timeout_s: float = 60) -> int:
        """Send a signal and wait for the end. Returns the exit code; negative if a signal ended it."""
        if self.alive:
            self._process.send_signal(sign)
            self._process.send_signal(signal.SIGCONT)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def terminate(self) -> None:
        """Ask it to end, without waiting for that."""
        self._process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it in its tracks, as a machine that hangs; when this returns it does nothing more."""
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"it has ended: {self.log.read_text()}"

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)


class RedisServer:
    """A Redis server of its own with its append-only file in ``folder``."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.port = free_port()
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0" if password else f"redis://127.0.0.1:{self.port}/0"
        self._folder, self._password = folder, password
        self.start()

    def start(self) -> None:
        """Start it, again after a stop, and wait until it listens."""
        environment = {"FEWSTEP_REDIS_URL": f"redis://127.0.0.1:{self.port}", "FEWSTEP_VAR": str(self._folder)}
        self._process = Process(*module_of("redis"), environment=environment, log=self._folder / "redis.log")
        wait_until(self._listens, what="Redis listening")
        if self._password:
            with Redis(port=self.port) as redis:
                wait_until(lambda: redis.config_set("requirepass", self._password), what="its password")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it; what was accepted is in its append-only file."""
        self._process.stop(sign)

    def _listens(self) -> bool:
        assert self._process.alive, self._process.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass(frozen=True)
class S3Server:
    """A server and its bucket, ``s3://…``."""

    process: Process
    bucket: str


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that s3fs is told of as one tells it: by the environment, of this process and those it starts."""
    import s3fs  # type: ignore[import-untyped]

    port = free_port()
    log = folder / "moto.log"
    process = Process("moto.server", "-p", str(port), environment=KEYS, log=log)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}).items():
            patch.setenv(name, value)
        wait_until(lambda: not process.alive or "Running on" in log.read_text(), what="S3 listening")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("fewstep")
        yield S3Server(process, "s3://fewstep")
        s3fs.S3FileSystem.clear_instance_cache()
    process.stop()


@contextmanager
def hung_server() -> Iterator[int]:
    """The port of a socket that accepts connections, by the kernel alone, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield int(listening.getsockname()[1])
