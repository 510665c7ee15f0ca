from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.catalog.card import Card, read_card
from models.checkpoints.stored import Stored, read_stored
from models.diffusion.unet import UNetConfig, build_unet
from models.sampling import readiness
from models.sampling.kinds import is_lean
from models.sampling.lean import LeanUNet
from models.sampling.readiness import make_ready
from models.sampling.sizes import cut
from models.sampling.walker import Walker
from tests.models import diffusers


@pytest.fixture
def card(tiny_family: Path) -> Card:
    return read_card(tiny_family / "2-step")


def test_a_small_network_stays_in_float32_and_every_size_it_names_is_exact(tiny_family: Path) -> None:
    stored = read_stored(tiny_family / "2-step")
    ready, card = make_ready(stored), stored.card
    assert ready.precision == "fp32"
    assert readiness.REFERENCE_SIZE in ready.sizes
    noise = torch.randn(23, *card.image_shape)
    with torch.inference_mode():
        alone = [ready.walker.pictures(noise[i : i + 1].repeat(8, 1, 1, 1), [0] * 8, 2)[0] for i in range(23)]
        start = 0
        for count, size in cut(23, ready.sizes):
            batch = torch.cat([noise[start : start + count], torch.zeros(size - count, *card.image_shape)])
            pictures = ready.walker.pictures(batch, [0] * size, 2)[:count]
            np.testing.assert_array_equal(pictures, alone[start : start + count])
            start += count


def test_bf16_is_taken_where_its_images_agree_and_only_there(
    tiny_family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_tries_bf16", lambda *_: True)
    stored = read_stored(tiny_family / "1-step")
    ready = make_ready(stored)
    assert ready.precision == "bf16"
    assert ready.facts["bf16_mean_error"] <= 0.5
    assert isinstance(ready.walker.network, LeanUNet)
    assert ready.walker.network.dtype is torch.bfloat16
    monkeypatch.setattr(readiness, "CLOSE_LEVELS", 0)
    refused = make_ready(stored)
    assert refused.precision == "fp32"
    assert refused.facts["bf16_close_share"] < 0.999


def test_what_is_asked_for_is_taken_wherever_it_runs(tiny_family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = read_stored(tiny_family / "1-step")
    monkeypatch.setattr(readiness, "CLOSE_LEVELS", -1)  # no trial agrees
    for native in (True, False):
        monkeypatch.setattr(readiness, "_tries_bf16", lambda *_, native=native: native)
        assert make_ready(stored, "bf16").precision == "bf16"
        assert make_ready(stored, "fp32").precision == "fp32"
        assert make_ready(stored).precision == "fp32"


@pytest.mark.parametrize("changes", [{"time_embedding_type": "fourier"}, {"class_embed_type": "timestep"}])
def test_a_network_that_is_not_lean_samples_in_bf16_too(changes: dict[str, object], card: Card) -> None:
    torch.manual_seed(0)
    config = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    ours = build_unet(replace(config, num_classes=3))
    network = diffusers.UNet2DModel(**{**ours.config, **changes})
    network.conv_out.weight.data.normal_(std=0.1)
    assert not is_lean(network.config)
    stored = Stored(card.model_copy(update={"num_classes": 3}), network.config, network.state_dict())
    ready = {asked: make_ready(stored, asked) for asked in ("fp32", "bf16")}
    assert [ready[asked].precision for asked in ready] == ["fp32", "bf16"]
    with torch.inference_mode():
        images = [each.walker.walk(each.walker.example(2), each.walker.shifts([2, 0], 2), 2) for each in ready.values()]
    assert 0 < (images[0] - images[1]).abs().max() < 0.1


def test_a_size_that_rounds_differently_is_left_out(card: Card, tiny_family: Path) -> None:
    walker = Walker(read_stored(tiny_family / "2-step"), dtype=torch.float32)
    forward = walker.network.forward

    def off_by_a_bit(z_t: torch.Tensor, shifts: object) -> torch.Tensor:
        return forward(z_t, shifts) + (1e-6 if len(z_t) == off else 0)  # type: ignore[arg-type]

    with torch.inference_mode():
        sizes = readiness._equal_sizes(walker, card, readiness.CPU_SIZES)
        off = min(sizes)
        walker.network.forward = off_by_a_bit  # type: ignore[method-assign]
        assert readiness._equal_sizes(walker, card, readiness.CPU_SIZES) == tuple(size for size in sizes if size != off)


def test_sizes_are_tried_once_for_all_checkpoints_of_an_architecture_whatever_their_weights(
    tiny_family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Walker] = []
    equal_sizes = readiness._equal_sizes

    def note(walker: Walker, card: Card, sizes: tuple[int, ...]) -> tuple[int, ...]:
        tried.append(walker)
        return equal_sizes(walker, card, sizes)

    monkeypatch.setattr(readiness, "_equal_sizes", note)
    monkeypatch.setattr(readiness, "_equal_on_cpu", {})
    stored = read_stored(tiny_family / "2-step")
    nothing = replace(stored, weights={name: torch.zeros_like(value) for name, value in stored.weights.items()})
    first, second = make_ready(nothing), make_ready(stored)
    (walker,) = tried
    assert first.sizes == second.sizes
    with torch.inference_mode():
        noise = walker.example(2)
        images = [each.walk(noise, each.shifts([0] * 2, 2), 2) for each in (first.walker, second.walker, walker)]
    assert images[2].isfinite().all(), "weights by chance say nothing where all becomes infinite"
    assert not any(torch.equal(image, images[1]) for image in (images[0], images[2]))


def test_the_number_of_threads_changes_no_pixel(tiny_family: Path) -> None:
    walker = Walker(read_stored(tiny_family / "2-step"), dtype=torch.float32)
    threads = torch.get_num_threads()
    images = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with torch.inference_mode():
                images.append(walker.walk(walker.example(8), walker.shifts([0] * 8, 2), 2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(image, images[0]) for image in images)
