"""Memory and use of the device that a worker computes on, looked up when they are asked for."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pynvml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.log import get_logger

log = get_logger(__name__)


class Meter(Protocol):
    """Where the figures of a device come from."""

    def memory(self) -> Mapping[str, float]:
        """Bytes that are ``used``, and ``total``."""

    def use(self) -> float:
        """Between 0 and 1."""


class DeviceMetrics(Collector):
    """Asks a meter each time that it is collected."""

    def __init__(self, device: str, meter: Meter) -> None:
        """Show what the meter says under the name of the device."""
        self._device, self._meter = device, meter

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What it gives, without looking."""
        return _families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """How it is now; what the meter cannot tell is absent."""
        memory, use = families = _families()
        try:
            for kind, value in self._meter.memory().items():
                memory.add_metric([self._device, kind], value)
            use.add_metric([self._device], self._meter.use())
        except (OSError, pynvml.NVMLError) as error:
            log.debug("device not measured", device=self._device, error=str(error))
        return families


def pick_meter(device: str, pids: Callable[[], Sequence[int]]) -> tuple[str, Meter]:
    """The device's name and what measures it, for one in torch's words, or ``auto``.

    Torch is not asked, since not every worker imports it: ``auto`` is the GPU that the driver shows, if it shows one.

    Args:
        device: As in the settings.
        pids: Processes to measure on a CPU.
    """
    kind, _, number = device.partition(":")
    if kind in ("auto", "cuda"):
        try:
            return f"cuda:{number or 0}", GpuMeter(int(number or 0))
        except (pynvml.NVMLError, LookupError, ValueError) as error:
            if kind == "cuda":
                log.warning("the driver shows no such GPU; this process is measured", device=device, error=str(error))
    return (device if kind != "auto" else "cpu"), CpuMeter(pids)


class GpuMeter:
    """A GPU by NVML, whoever uses it."""

    def __init__(self, number: int) -> None:
        """Find it by its number in CUDA.

        Raises:
            NVMLError: There is no driver, or no such GPU.
            LookupError: ``CUDA_VISIBLE_DEVICES`` hides it.
        """
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        name = str(number) if visible is None else visible.split(",")[number].strip()
        find = pynvml.nvmlDeviceGetHandleByIndex if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID
        self._handle: Any = find(int(name) if name.isdigit() else name)

    def memory(self) -> Mapping[str, float]:
        """As of ``Meter``."""
        memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        return {"used": memory.used, "total": memory.total}

    def use(self) -> float:
        """Share of the last moments in which a kernel ran."""
        return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100


class CpuMeter:
    """Processes on the machine's CPUs, by what Linux tells of them."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        """Measure these, from now on."""
        self._pids = pids
        self._seen_at, self._seconds = time.monotonic(), self._cpu_seconds()

    def memory(self) -> Mapping[str, float]:
        """The processes' resident memory, and the machine's."""
        page = os.sysconf("SC_PAGE_SIZE")
        resident = [page * int(text.split()[1]) for text in self._read("statm").values()]
        return {"total": page * os.sysconf("SC_PHYS_PAGES")} | ({"used": sum(resident)} if resident else {})

    def use(self) -> float:
        """Share of the machine's CPU time that the processes took since the last call."""
        now, seconds = time.monotonic(), self._cpu_seconds()
        taken = sum(value - self._seconds.get(pid, 0) for pid, value in seconds.items())
        available = (now - self._seen_at) * (os.cpu_count() or 1)
        self._seen_at, self._seconds = now, seconds
        return min(taken / available, 1) if available else 0

    def _cpu_seconds(self) -> dict[int, float]:
        tick = os.sysconf("SC_CLK_TCK")
        # After the name, which may hold blanks; user and system time are the 14th and 15th of all fields.
        fields = {pid: text.rpartition(")")[2].split() for pid, text in self._read("stat").items()}
        return {pid: (int(rest[11]) + int(rest[12])) / tick for pid, rest in fields.items()}

    def _read(self, name: str) -> dict[int, str]:
        found = {}
        for pid in self._pids():
            path = Path("/proc", str(pid), name)
            if path.exists():  # else it has ended, or this is not Linux
                found[pid] = path.read_text()
        return found


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("fewstep_device_memory_bytes", "Memory of the device", labels=["device", "kind"]),
        GaugeMetricFamily("fewstep_device_utilization_ratio", "How busy the device is", labels=["device"]),
    )
