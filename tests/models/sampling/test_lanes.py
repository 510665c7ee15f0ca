"""How the cores of a CPU share the work, and that no pixel tells."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from models.sampling import readiness
from models.sampling.engine import Sampler
from models.sampling.lanes import FreeCores, cores, side_by_side, torch_threads
from tests.processes import wait_until


@pytest.fixture(scope="module")
def sampler(tiny_family: Path) -> Sampler:
    return Sampler(tiny_family / "4-step", device="cpu")


def in_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_each_part_has_a_core_for_itself_and_others_keep_all() -> None:
    together = threading.Barrier(cores())

    def threads_of(part: int) -> tuple[int, int]:
        together.wait(timeout=30)  # passed only where all are computed at once
        torch.ones(100_000).sqrt()  # the first operator of a thread is what could take more
        return part, torch.get_num_threads()

    assert side_by_side(threads_of, range(cores())) == [(part, 1) for part in range(cores())]
    assert torch.get_num_threads() == in_a_new_thread() == cores()


def test_what_fails_in_a_part_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda part: 1 / part, [1, 0])


@pytest.mark.parametrize("n", [1, 2, 5, 70])
def test_the_number_of_lanes_changes_no_pixel(sampler: Sampler, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sampler.sample(seeds=range(n))
    for lanes in (1, 2, 3):
        monkeypatch.setattr(sampler, "_lanes", lanes)
        np.testing.assert_array_equal(sampler.sample(seeds=range(n)), expected)


def test_a_large_network_has_all_cores_after_a_small_one_was_sampled(
    sampler: Sampler, tiny_family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler.sample(seeds=[0, 1])
    assert sampler.threads == 1
    monkeypatch.setattr(readiness, "SMALL", 0)
    large = Sampler(tiny_family / "4-step", device="cpu", precision="fp32")
    assert large.threads == cores() == in_a_new_thread()
    np.testing.assert_array_equal(large.sample(seeds=[0]), sampler.sample(seeds=[0]))


def test_a_single_image_of_a_large_network_takes_the_cores_that_are_free(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(sampler, "threads", 4)
    for free, expected in ((3, [3, torch.get_num_threads()]), (1, [])):
        monkeypatch.setattr(sampler, "_free_cores", lambda free=free: free)
        sampler.sample(seeds=[0])
        assert given == expected
        given.clear()


def test_on_a_gpu_threads_are_never_set(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make torch compile networks anew, for each number."""
    expected = sampler.sample(seeds=range(3))
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(sampler, "threads", 4)
    monkeypatch.setattr(sampler, "_lanes", 1)
    monkeypatch.setattr(sampler, "device", torch.device("meta"))  # any but a CPU
    np.testing.assert_array_equal(sampler.sample(seeds=range(3)), expected)
    assert given == []


def test_cores_that_others_use_are_not_free() -> None:
    free = FreeCores()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        wait_until(lambda: free() == 1, what="no core to be free")
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
