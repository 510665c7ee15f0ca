"""The port of a worker, and what it says of the device."""

import os
import time

import httpx
import pytest

from core.errors import FewstepError
from tests.processes import free_port
from tests.prometheus import scrape
from worker.device_metrics import CpuMeter, DeviceMetrics, pick_meter
from worker.metrics import serve_metrics


def test_the_port_has_metrics_and_tells_how_the_worker_is() -> None:
    well = False
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve_metrics(port, lambda: well)
    assert httpx.get(f"{url}/healthz").status_code == 503
    well = True
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert "fewstep_redeliveries_total" in httpx.get(f"{url}/metrics").text
    assert scrape(url).names()
    with pytest.raises(FewstepError, match=f"metrics port {port}"):
        serve_metrics(port, lambda: well)
    serve_metrics(0, lambda: well)


def test_a_process_is_measured_with_its_children() -> None:
    name, meter = pick_meter("cpu", lambda: [os.getpid(), 2**22 + 1])  # the second is no process
    assert name == "cpu"
    assert isinstance(meter, CpuMeter)
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    memory, use = DeviceMetrics(name, meter).collect()
    sizes = {sample.labels["kind"]: sample.value for sample in memory.samples}
    assert 10e6 < sizes["used"] < sizes["total"]
    (busy,) = use.samples
    assert busy.labels == {"device": "cpu"}
    assert 0 < busy.value <= 1


def test_without_a_gpu_auto_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    name, meter = pick_meter("auto", lambda: [os.getpid()])
    assert name == "cpu"
    assert isinstance(meter, CpuMeter)
