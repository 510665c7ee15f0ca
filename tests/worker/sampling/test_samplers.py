import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import worker.sampling.samplers
from core.catalog.card import CARD_NAME, SHIPPED_CHECKPOINTS, CheckpointError
from models.sampling.engine import Sampler
from models.sampling.host import keep_memory
from models.training.execution import AskedPrecision
from tests.processes import wait_until
from worker.sampling import metrics
from worker.sampling.samplers import Samplers


@pytest.fixture
def checkpoint(tiny_family: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_family / "1-step", tmp_path / "1-step"))


def test_loaded_once_for_all_threads(checkpoint: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(lambda _: samplers.get(checkpoint), range(8)))
    assert len({id(sampler) for sampler in loaded}) == 1


def test_loaded_again_when_the_card_changed(checkpoint: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    first = samplers.get(checkpoint)
    assert samplers.get(checkpoint) is first
    os.utime(checkpoint / CARD_NAME, (1, 1))
    assert samplers.get(checkpoint) is not first


def test_a_missing_or_damaged_one_is_tried_again(checkpoint: Path, tmp_path: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        samplers.get(tmp_path / "2-step")
    weights = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    failures = metrics.LOADS.labels("failed")._value.get()
    with pytest.raises(CheckpointError, match="SHA-256"):
        samplers.get(checkpoint)
    assert metrics.LOADS.labels("failed")._value.get() == failures + 1
    weights.write_bytes(whole)
    assert samplers.get(checkpoint).card.num_steps == 1


def test_the_longest_unused_go_when_it_is_too_much(tiny_family: Path) -> None:
    size = Samplers("cpu", max_bytes=0).get(tiny_family / "1-step").num_bytes
    samplers = Samplers("cpu", max_bytes=2 * size)
    first, second = samplers.get(tiny_family / "1-step"), samplers.get(tiny_family / "2-step")
    assert samplers.get(tiny_family / "1-step") is first
    evictions = metrics.EVICTIONS._value.get()
    samplers.get(tiny_family / "4-step")
    # It goes a moment after the new one may be had.
    wait_until(lambda: metrics.EVICTIONS._value.get() == evictions + 1, what="an eviction")
    wait_until(lambda: metrics.CACHE_BYTES._value.get() == 2 * size, what="its size")
    assert samplers.get(tiny_family / "1-step") is first
    assert samplers.get(tiny_family / "2-step") is not second


def test_what_is_gone_from_disk_can_be_forgotten(tiny_family: Path, checkpoint: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    kept, _ = samplers.get(tiny_family / "2-step"), samplers.get(checkpoint)
    shutil.rmtree(checkpoint)
    samplers.forget_gone()
    assert set(samplers.loaded()) == {tiny_family / "2-step"}
    assert metrics.CACHE_BYTES._value.get() == kept.num_bytes
    assert samplers.get(tiny_family / "2-step") is kept


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the memory of this process")
def test_memory_of_what_was_dropped_is_used_again(tiny_family: Path, tmp_path: Path) -> None:
    samplers = Samplers("cpu", max_bytes=0)

    def use(numbers: range) -> None:
        for number in numbers:
            folder = tmp_path / str(number)
            shutil.copytree(tiny_family / "1-step", folder)
            samplers.get(folder).sample(seeds=range(3))
            shutil.rmtree(folder)

    use(range(10))
    before = memory()
    use(range(10))
    assert memory() - before < 15e6  # a network that is not given back is 23 MB


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the memory of this process")
def test_what_the_cache_says_is_what_it_takes(tmp_path: Path) -> None:
    for number in range(12):
        shutil.copytree(SHIPPED_CHECKPOINTS / "digits" / "1-step", tmp_path / str(number))
    # In a process that has freed nothing before, which would be used again.
    command = [sys.executable, "-c", f"from {__name__} import fill; fill({str(tmp_path)!r})"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (taken, counted) = map(int, re.findall(r"^(\d+) bytes, (\d+) counted$", output, re.MULTILINE)[0])
    assert counted > 20e6
    assert 0.9 * counted < taken < 1.3 * counted


def fill(folder: str) -> None:
    """Print by how many bytes the process and what the cache counts grow by all checkpoints of a folder but four."""
    keep_memory()  # as the worker does
    samplers = Samplers("cpu", max_bytes=2**30)
    checkpoints = sorted(Path(folder).iterdir())
    for checkpoint in checkpoints[:4]:
        samplers.get(checkpoint)
    before = memory()
    counted = sum(samplers.get(checkpoint).num_bytes for checkpoint in checkpoints[4:])
    print(f"\n{memory() - before} bytes, {counted} counted\n")


def memory() -> int:
    """Bytes that this process holds in memory and uses: what is free goes back to the kernel first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_one_that_is_larger_than_all_that_may_be_kept_still_serves(tiny_family: Path) -> None:
    samplers = Samplers("cpu", max_bytes=0)
    assert samplers.get(tiny_family / "1-step").sample(seeds=[1]).shape == (1, 8, 8, 3)


def test_loading_one_does_not_hold_up_another(
    tiny_family: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go = threading.Event(), threading.Event()

    def slow(folder: Path, *, device: str, precision: AskedPrecision) -> Sampler:
        if folder == checkpoint:
            loading.set()
            go.wait(30)
        return Sampler(folder, device=device, precision=precision)

    monkeypatch.setattr(worker.sampling.samplers, "Sampler", slow)
    samplers = Samplers("cpu", max_bytes=2**30)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(samplers.get, checkpoint)
        loading.wait(30)
        assert samplers.get(tiny_family / "2-step").card.num_steps == 2
        assert not waiting.done()
        go.set()
        assert waiting.result(30).card.num_steps == 1
