"""What tests of several rooms share."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

# The networks of these tests are so small that threads only wait for each other. Set before torch is imported,
# for this process and those it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from redis import Redis
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling, Scheduling  # type: ignore[import-untyped]

from core.settings import Settings
from models.checkpoints.checkpoint import save_checkpoint
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, build_unet
from tests.processes import RedisServer

TOGETHER = (
    ("e2e/clients/test_jobs", "e2e/clients/test_readme", "e2e/console/test_work"),  # the service that distils
    ("e2e/jobs/test_service", "e2e/jobs/test_uploads", "e2e/operation/test_monitoring"),  # the same once more
    ("e2e/generate/", *(f"e2e/operation/test_{name}" for name in ("faults", "operation", "probes", "rolling"))),
    ("e2e/clients/", "e2e/console/"),  # what is left of them
    ("app/",),  # two processes of the API
    (  # diffusers, which takes five seconds to import
        "models/checkpoints/",
        "models/cli/test_import",
        "models/cli/test_main",
        "models/diffusion/",
        "models/sampling/test_kinds",
        "models/sampling/test_lean",
        "models/test_shipped_families",
    ),
)
"""Files that share what takes long to start, in groups of about a tenth of all the time. The first that fits holds."""


def unit_of(nodeid: str) -> str:
    """The file of a test, or the group that this is in."""
    file = nodeid.partition("::")[0]
    within = file.removeprefix("tests/")
    return next((str(group) for group in TOGETHER if within.startswith(group)), file)


class ByService(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Sends a group to one process: in each what it shares would start anew."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """In place of ``--dist loadfile``, as which it works where no service is shared."""
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Redis starts a server; and what waits for services, the longest first, lies among what computes."""
    for item in items:
        if isinstance(item, pytest.Function) and "redis_server" in item.fixturenames:
            item.add_marker("slow")
    units = dict.fromkeys(unit_of(item.nodeid) for item in items)
    waiting = [unit for unit in units if "e2e/" in unit]
    waiting.sort(key=lambda unit: (unit.startswith("tests/"), "/jobs/" not in unit))  # groups, jobs, others
    computing = [unit for unit in units if unit not in waiting]
    shares = ((waiting, 0.8), (computing, 1))  # of all the time; at its end only what is short is left
    place = {unit: share * index / len(kind) for kind, share in shares for index, unit in enumerate(kind)}
    items.sort(key=lambda item: place[unit_of(item.nodeid)])


@pytest.fixture(scope="session")
def tiny_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family ``tiny`` of random weights and 8x8 RGB images in a folder of its own: teacher, 8-, 4-, 2-, 1-step."""
    family = tmp_path_factory.mktemp("checkpoints") / "tiny"
    config = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)
    for seed, num_steps in enumerate((1024, 8, 4, 2, 1)):
        torch.manual_seed(seed)
        name = "teacher" if num_steps == 1024 else f"{num_steps}-step"
        save_checkpoint(family / name, build_unet(config), rows=step_rows(num_steps), method="base")
    return family


@pytest.fixture(scope="session")
def conditional_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family ``classes`` of random weights, 8x8 RGB images and three classes: 2-step and 1-step."""
    family = tmp_path_factory.mktemp("conditional") / "classes"
    config = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    for num_steps in (2, 1):
        torch.manual_seed(num_steps)
        network = build_unet(replace(config, num_classes=3))
        save_checkpoint(family / f"{num_steps}-step", network, rows=step_rows(num_steps), method="base")
    return family


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server for the whole run."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> Settings:
    """Settings with that server, emptied."""
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    return Settings(redis_url=redis_server.url, heartbeat_s=0.2)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What asynchronous tests run on."""
    return "asyncio"
