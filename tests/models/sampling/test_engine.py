import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.catalog.card import CheckpointError
from core.errors import InvalidRequest
from models.sampling.engine import Sampler, noise_for
from models.sampling.lanes import cores


@pytest.fixture(scope="module")
def sampler(tiny_family: Path) -> Sampler:
    return Sampler(tiny_family / "4-step", device="cpu")


@given(first=st.integers(0, 2**32 - 40), n=st.integers(1, 20), position=st.integers(0, 19))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_image_depends_on_its_seed_alone(sampler: Sampler, first: int, n: int, position: int) -> None:
    seeds = range(first, first + n)
    images = sampler.sample(seeds=seeds)
    assert images.shape == (n, 8, 8, 3)
    assert images.dtype == np.uint8
    index = position % n
    np.testing.assert_array_equal(images[index], sampler.sample(seeds=[seeds[index]])[0])


def test_other_seeds_give_other_images(sampler: Sampler) -> None:
    images = sampler.sample(seeds=range(50))
    assert len({image.tobytes() for image in images}) == 50


def test_noise_of_a_seed_is_that_of_a_diffusers_generator() -> None:
    expected = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(8))
    torch.testing.assert_close(noise_for([7, 8], (3, 8, 8))[1:], expected)


@pytest.mark.parametrize("seeds", [[-1], [2**32], range(2**32 - 1, 2**32 + 1)])
def test_seeds_that_would_repeat_an_image_are_refused(sampler: Sampler, seeds: Sequence[int]) -> None:
    with pytest.raises(InvalidRequest, match="from 0 to 4294967295") as caught:
        sampler.sample(seeds=seeds)
    assert caught.value.field == "seed"


def test_steps_must_divide_those_the_checkpoint_was_trained_for(sampler: Sampler) -> None:
    fewer = sampler.sample(seeds=[1], num_steps=2)
    assert not np.array_equal(fewer, sampler.sample(seeds=[1]))
    with pytest.raises(InvalidRequest, match="divisor of 4") as caught:
        sampler.sample(seeds=[1], num_steps=3)
    assert caught.value.field == "steps"


def test_noise_of_another_shape_is_refused(sampler: Sampler) -> None:
    with pytest.raises(InvalidRequest, match=r"\(N, 3, 8, 8\)"):
        sampler.sample_noise(torch.zeros(1, 1, 8, 8))


def test_between_batches_may_give_up(sampler: Sampler) -> None:
    calls = 0

    def give_up() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        sampler.sample(seeds=range(sampler.max_batch * cores() + 1), between_batches=give_up)
    assert calls == 2


def test_no_seeds_give_no_images(sampler: Sampler) -> None:
    assert sampler.sample(seeds=[]).shape == (0, 8, 8, 3)


def test_unknown_device_and_damaged_checkpoint(tiny_family: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no device 'tpu9'"):
        Sampler(tiny_family / "1-step", device="tpu9")
    copy = shutil.copytree(tiny_family / "1-step", tmp_path / "1-step")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        Sampler(copy)
