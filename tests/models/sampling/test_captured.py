"""Recorded walks: on a GPU against the walker itself, and elsewhere what follows where recording fails."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoints.stored import read_stored
from models.sampling import captured
from models.sampling.captured import CapturedWalks
from models.sampling.engine import Sampler, pick_device
from models.sampling.walker import Walker

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="records on an NVIDIA GPU")
on_two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second GPU")


@torch.inference_mode()
def test_what_cannot_be_recorded_runs_without_and_is_remembered(
    tiny_family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walker = Walker(read_stored(tiny_family / "2-step"), dtype=torch.float32)
    tries = []

    def fail(_: Walker, size: int) -> None:
        tries.append(size)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(captured, "_Recorded", fail)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    walks = CapturedWalks(walker)
    walks.record(4)
    for _ in range(2):
        found = walks(walker.example(4), [0] * 4, 2)
    np.testing.assert_array_equal(found, walker.pictures(walker.example(4), [0] * 4, 2))
    assert walks.failed == {4: "operation not permitted when stream is capturing"}
    assert tries == [4]


def test_a_gpu_that_is_picked_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    current = []
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(device))
    pick_device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "3")
    pick_device("cuda")
    pick_device("cpu")
    assert current == [torch.device("cuda:1"), torch.device("cuda:3")]


@on_gpu
@pytest.mark.parametrize("name", ["1-step", "4-step", "teacher"])
def test_recorded_steps_give_the_pixels_of_the_walk(tiny_family: Path, name: str) -> None:
    sampler = Sampler(tiny_family / name, device="cuda", compiled=False)
    assert sampler.facts["recorded"] == list(sampler.sizes)
    assert sampler.num_bytes > sampler._walker.network.num_bytes
    num_steps = min(sampler.card.num_steps, 8)
    recorded = sampler.sample(seeds=range(70), num_steps=num_steps)
    np.testing.assert_array_equal(sampler.sample(seeds=range(70), num_steps=num_steps), recorded)
    sampler.run_unrecorded()
    np.testing.assert_array_equal(sampler.sample(seeds=range(70), num_steps=num_steps), recorded)


@on_gpu
def test_classes_go_into_recorded_steps(conditional_family: Path) -> None:
    sampler = Sampler(conditional_family / "2-step", device="cuda", compiled=False)
    recorded = [sampler.sample(seeds=range(9), class_label=label) for label in (0, 2, None)]
    sampler.run_unrecorded()
    for label, images in zip((0, 2, None), recorded, strict=True):
        np.testing.assert_array_equal(sampler.sample(seeds=range(9), class_label=label), images)


@on_gpu
def test_a_recording_that_fails_leaves_the_stream_as_it_was(tiny_family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.cuda.current_stream()
    step = captured._Recorded._step

    def with_a_sync(self: captured._Recorded) -> None:
        step(self)
        if torch.cuda.is_current_stream_capturing():
            self._z_t.sum().item()

    monkeypatch.setattr(captured._Recorded, "_step", with_a_sync)
    sampler = Sampler(tiny_family / "2-step", device="cuda", compiled=False)
    assert torch.cuda.current_stream() == before
    assert set(sampler.facts["not_recorded"]) == set(sampler.sizes)
    assert sampler.sample(seeds=[1]).shape == (1, 8, 8, 3)


@on_gpu
def test_a_compiled_network_samples_what_it_does_eagerly_but_for_rounding(tiny_family: Path) -> None:
    samplers = [
        Sampler(tiny_family / "4-step", device="cuda", precision="fp32", compiled=each) for each in (True, False)
    ]
    assert samplers[0].facts["compiled"] is True
    one, other = (sampler.sample(seeds=range(20)).astype(int) for sampler in samplers)
    assert np.abs(one - other).mean() < 0.1


@on_two_gpus
def test_the_second_gpu_does_all_of_it(tiny_family: Path) -> None:
    taken = torch.cuda.memory_allocated(0)
    sampler = Sampler(tiny_family / "2-step", device="cuda:1", compiled=False)
    sampler.sample(seeds=range(9))
    assert torch.cuda.memory_allocated(0) == taken
