"""What the benchmarks of sampling share: the machine's name, tables, the paper's network, a running service."""

import http.client
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from core.catalog.card import SHIPPED_CHECKPOINTS
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet

PAPER = UNetConfig()
TINY = UNetConfig(image_shape=(1, 8, 8), channels=4, multipliers=(1,), attention_levels=(), blocks=1, norm_groups=1)
"""The least that a network can do."""
SECONDS_TO_START = 180


def machine() -> str:
    """One line about what the figures were taken on."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        model = [
            line.partition(":")[2].strip()
            for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [])
            if line.startswith("model name")
        ]
        device = f"{model[0] if model else platform.processor()}, {os.cpu_count()} cores"
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{device}; Python {platform.python_version()}, torch {torch.__version__}{load}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats get three digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def save_network(family: Path, steps: Sequence[int], config: UNetConfig) -> None:
    """A family of students of random weights."""
    from models.checkpoints.checkpoint import save_checkpoint  # imports diffusers, for which no server is to wait

    torch.manual_seed(0)
    network = build_unet(config)
    for num_steps in steps:
        save_checkpoint(family / f"{num_steps}-step", network, rows=step_rows(num_steps), method="base")


def lay_out_checkpoints(folder: Path, models: Sequence[str]) -> Path:
    """A new folder of families: ``digits``, and ``paper`` and ``tiny`` (1 step) if they are among the models."""
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "digits").symlink_to(SHIPPED_CHECKPOINTS / "digits")
    for model, config in (("paper", PAPER), ("tiny", TINY)):
        if model in models:
            save_network(checkpoints / model, [1], config)
    return checkpoints


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*module: str, log: Path, environment: dict[str, str], ready: str, port: int) -> Iterator[None]:
    """``python -m module…``, once ``ready`` on ``port`` answers 200, and ended with SIGTERM."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
    try:
        until = time.monotonic() + SECONDS_TO_START
        while not _answers(port, ready):
            if started.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"python -m {' '.join(module)} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(120)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)  # LitServe leaves processes behind


@contextmanager
def service(folder: Path, checkpoints: Path, **settings: object) -> Iterator[int]:
    """The whole service, as ``make run`` starts it; gives its port."""
    port = free_port()
    environment = {
        "FEWSTEP_PORT": str(port),
        "FEWSTEP_VAR": str(folder / f"var-{port}"),
        "FEWSTEP_CHECKPOINTS": str(checkpoints),
        "FEWSTEP_DEFAULT_MODEL": "digits",
        "FEWSTEP_SAMPLER_METRICS_PORT": "0",
        "FEWSTEP_DISTILLER_METRICS_PORT": "0",
        **{f"FEWSTEP_{name.upper()}": str(value) for name, value in settings.items()},
    }
    log = folder / f"service-{port}.log"
    with process("core.local.run", log=log, environment=environment, ready="/readyz", port=port):
        yield port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
