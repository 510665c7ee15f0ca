"""Which networks of diffusers run lean, and that none samples otherwise than diffusers runs it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.catalog.card import CheckpointError
from models.checkpoints.checkpoint import save_checkpoint
from models.diffusion.schedule import step_rows
from models.diffusion.unet import UNetConfig, config_of, fields, is_ours
from models.sampling import kinds
from models.sampling.engine import Sampler
from models.sampling.kinds import PlainUNet, is_lean, network_of, refuse_unlike
from models.sampling.lean import LeanUNet
from tests.models import diffusers

TINY = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 1), attention_levels=(1,), blocks=1)
OURS = config_of(TINY)
ROWS = step_rows(4)


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_tried", set())


@torch.no_grad()
def altered(**changes: object) -> "diffusers.UNet2DModel":
    """A network of ours with other fields and weights that all matter."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel.from_config({**OURS, **changes}).eval()
    for value in network.parameters():
        value.add_(0.1 * torch.randn(value.shape))
    return network.requires_grad_(False)


LEAN: list[dict[str, Any]] = [
    {"time_embedding_type": "learned", "num_train_timesteps": 1025},
    {"time_embedding_dim": 48},
    {"freq_shift": 1},
    {"flip_sin_to_cos": True},
    {"down_block_types": ["UNetResDownBlock2D", "AttnDownBlock2D"]},
    {"block_out_channels": [32, 64]},
    {"layers_per_block": 2},
    {"downsample_padding": 0},
    {"dropout": 0.5},
    {"act_fn": "swish"},
    {"attention_head_dim": 8},
    {"attention_head_dim": 24},
    {"norm_num_groups": 4},
    {"attn_norm_num_groups": 4},
    {"norm_eps": 0.1},
    {"add_attention": False},
    {"num_class_embeds": 3},
]
AS_DIFFUSERS: list[dict[str, Any]] = [
    {"time_embedding_type": "fourier"},
    {"center_input_sample": True},
    {"class_embed_type": "timestep", "num_class_embeds": 3},
    {"mid_block_type": None},
    {"mid_block_scale_factor": 2.0},
    {"downsample_type": "resnet"},
    {"upsample_type": "resnet"},
    {"act_fn": "gelu"},
    {"resnet_time_scale_shift": "scale_shift"},
    {"down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"]},
    {
        "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"],
        "up_block_types": ["AttnSkipUpBlock2D", "SkipUpBlock2D"],
    },
    {"down_block_types": ["KDownBlock2D"] * 2, "up_block_types": ["KUpBlock2D"] * 2},
]


@pytest.mark.parametrize(
    ("changes", "lean"), [*((changes, True) for changes in LEAN), *((changes, False) for changes in AS_DIFFUSERS)]
)
@torch.inference_mode()
def test_every_field_samples_as_diffusers_runs_it(changes: dict[str, Any], lean: bool) -> None:
    network = altered(**changes)
    assert is_lean(network.config) == lean
    assert is_ours(network.config) == (
        changes.keys() <= {"dropout", "num_class_embeds", "norm_num_groups", "layers_per_block", "block_out_channels"}
    )
    noise = torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    labels = [2, 0] if "num_class_embeds" in changes else None
    expected = network(noise, torch.full((2,), 640), None if labels is None else torch.tensor(labels)).sample
    refuse_unlike(network.config, Path("x"), rows=ROWS)
    sampling = network_of(network.config, network.state_dict(), dtype=torch.float32)
    assert isinstance(sampling, LeanUNet if lean else PlainUNet)
    found = sampling(noise, sampling.shifts(640, labels))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_every_field_of_diffusers_is_known() -> None:
    assert kinds._LEAN.keys() == fields().keys(), (
        "say of the others whether the lean network computes what they ask for"
    )
    other = {name for changes in (*LEAN, *AS_DIFFUSERS) for name in changes}
    assert fields().keys() - other == {"sample_size", "in_channels", "out_channels"}, "each is tried"


def test_a_difference_of_a_foreign_network_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a switch had been overlooked."""
    network = altered(center_input_sample=True)
    save_checkpoint(tmp_path / "f" / "teacher", network, rows=ROWS, method="import")
    monkeypatch.setitem(kinds._LEAN, "center_input_sample", lambda _: True)
    with pytest.raises(CheckpointError, match=r"teacher: with random weights .* by [\d.]+ standard deviations"):
        Sampler(tmp_path / "f" / "teacher")


def test_zero_weights_hide_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    network = altered(center_input_sample=True)
    torch.nn.init.zeros_(network.conv_out.weight)
    monkeypatch.setitem(kinds._LEAN, "center_input_sample", lambda _: True)
    with pytest.raises(CheckpointError, match="standard deviations"):
        refuse_unlike(network.config, Path("x"), rows=ROWS)


def test_a_network_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"x: the network cannot make images of \(3, 9, 9\): Sizes of tensors"):
        refuse_unlike(altered(sample_size=9).config, Path("x"), rows=ROWS)
