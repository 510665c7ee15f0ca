"""``docs/metrics.md`` and the code name the same metrics, of the same types and with the same labels."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from redis import Redis

import app.metrics
import worker.distillation.metrics
import worker.metrics
import worker.sampling.metrics
import worker.webhooks.metrics
from app.redis_metrics import RedisMetrics, StorageMetrics
from core.jobs.store import JobStore
from worker.device_metrics import CpuMeter, DeviceMetrics

Facts = tuple[str, frozenset[str]]
"""Type and labels."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"


def section(title: str) -> dict[str, Facts]:
    """The metrics of one part of the document, by name."""
    part = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    (text,) = [text for text in part if text.startswith(title)]
    found = {}
    for names, kind, labels in re.findall(r"^\| (`fewstep_[^|]+) \| (\w+) \| ([^|]*)\|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = (kind, frozenset(labels.replace(" ", "").split(",")) - {""})
    return found


def of_module(module: ModuleType) -> Iterator[tuple[str, Facts]]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            yield named(family), (str(metric._type), frozenset(metric._labelnames))


def of_families(families: Iterable[Metric]) -> Iterator[tuple[str, Facts]]:
    for family in families:
        yield named(family), (family.type, frozenset(family._labelnames))  # type: ignore[attr-defined]


def named(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


LOOKED_UP = [*RedisMetrics(JobStore(Redis())).describe(), *StorageMetrics({}).describe()]
DEVICE = DeviceMetrics("cpu", CpuMeter(list)).describe()


@pytest.mark.parametrize(
    ("title", "code"),
    [
        ("API", [*of_module(app.metrics), *of_families(LOOKED_UP)]),
        ("Sampling worker", [*of_module(worker.sampling.metrics)]),
        ("Distillation worker", [*of_module(worker.distillation.metrics)]),
        ("Webhook worker", [*of_module(worker.webhooks.metrics)]),
        ("Both workers", [*of_module(worker.metrics), *of_families(DEVICE)]),
    ],
)
def test_document_and_code_agree(title: str, code: list[tuple[str, Facts]]) -> None:
    assert code
    assert section(title) == dict(code)
    assert all(name.startswith("fewstep_") for name, _ in code)
