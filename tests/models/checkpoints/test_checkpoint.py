import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.catalog.card import (
    CheckpointError,
    Family,
    LastStep,
    NoiseSchedule,
    PredictionType,
    locate_checkpoint,
    read_card,
)
from core.errors import InvalidRequest, NotFound
from models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from models.diffusion.schedule import full_rows, step_rows, subgrid
from models.diffusion.unet import UNetConfig, build_unet
from models.sampling.engine import Sampler
from tests.models import diffusers

SMALL = UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
WEIGHTS = Path("unet", "diffusion_pytorch_model.safetensors")


def test_round_trip_keeps_weights_to_float16(tmp_path: Path) -> None:
    network = build_unet(
        UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    )
    saved = save_checkpoint(
        tmp_path / "family" / "2-step",
        network,
        rows=step_rows(2),
        method="pd",
        parent="family/4-step",
        data="digits",
        hyper_parameters={"seed": 3},
        command="fewstep distill …",
    )
    loaded, card = load_checkpoint(tmp_path / "family" / "2-step")
    assert card == saved
    assert card.image_shape == (1, 8, 8)
    assert card.rows == (0, 512, 1024)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float(), atol=0, rtol=0)
    assert not list(tmp_path.glob("family/.*")), "nothing partial is left"


def test_an_existing_folder_is_not_written_over(tiny_family: Path) -> None:
    with pytest.raises(InvalidRequest, match="exists"):
        save_checkpoint(tiny_family / "1-step", torch.nn.Identity(), rows=step_rows(1), method="pd")


def test_weights_that_float16_cannot_hold_are_not_saved(tmp_path: Path) -> None:
    network = build_unet(
        UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    )
    with torch.no_grad():
        network.get_parameter("conv_in.bias").fill_(1e6)
    with pytest.raises(CheckpointError, match=r"not finite in float16: conv_in\.bias"):
        save_checkpoint(tmp_path / "1-step", network, rows=step_rows(1), method="pd")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8])
def test_plain_diffusers_gives_our_images(tiny_family: Path, num_steps: int) -> None:
    folder = tiny_family / f"{num_steps}-step"
    assert_plain_diffusers_agrees(folder)


def assert_plain_diffusers_agrees(folder: Path) -> None:
    seeds = [3, 4, 5]
    sampler = Sampler(folder, device="cpu")
    call = sampler.card.diffusers_call or ""
    assert call.startswith("DDIMPipeline.from_pretrained(folder)(")
    # The very call that the card gives, on floats, so that no rounding hides a difference.
    call = call[:-1] + ", output_type='np').images"
    theirs = eval(call, {"DDIMPipeline": Quiet, "torch": torch, "seeds": seeds, "folder": folder})
    ours = sampler.sample(seeds=seeds).astype(np.float64)
    assert np.abs(theirs * 255 - ours).max() <= 1.0
    assert np.abs(theirs * 255 - ours).mean() <= 0.3  # rounding alone accounts for a quarter


LINEAR: dict[str, Any] = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
@pytest.mark.parametrize(("num_rows", "num_steps"), [(65, 64), (1001, 8), (1000, 1), (1000, 3)])
def test_plain_diffusers_gives_our_images_on_other_tables(
    tmp_path: Path, num_rows: int, num_steps: int, prediction_type: PredictionType
) -> None:
    save_checkpoint(
        tmp_path / "teacher",
        build_unet(SMALL),
        rows=step_rows(num_steps, num_rows),
        schedule=NoiseSchedule(num_rows=num_rows, **LINEAR),
        prediction_type=prediction_type,
        method="import",
    )
    assert_plain_diffusers_agrees(tmp_path / "teacher")


@pytest.mark.parametrize(
    ("num_rows", "rows", "last_step"),
    [
        (1000, full_rows(1000), "row_0"),
        (1000, subgrid(full_rows(1000), 4), "row_0"),  # which divides 1000, and yet diffusers' rows are one off
        (1000, subgrid(full_rows(1000), 2), "row_0"),
        (1024, full_rows(1024), "row_0"),
        (1025, step_rows(3), "row_0"),
        (1025, step_rows(4), "x_hat"),
    ],
)
def test_where_plain_diffusers_gives_others_there_is_no_call(
    tmp_path: Path, num_rows: int, rows: tuple[int, ...], last_step: LastStep
) -> None:
    schedule = NoiseSchedule(num_rows=num_rows, **LINEAR)
    network = build_unet(SMALL)
    card = save_checkpoint(
        tmp_path / "teacher", network, rows=rows, schedule=schedule, last_step=last_step, method="import"
    )
    assert card.diffusers_call is None


class Quiet:
    """The pipeline of diffusers without its progress bar."""

    @staticmethod
    def from_pretrained(folder: Path) -> "diffusers.DDIMPipeline":
        pipeline = diffusers.DDIMPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def truncate(folder: Path) -> None:
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-10] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def sign(folder: Path) -> None:
    """Make the card fit the weights, as who tampers with both would."""
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def poison(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["conv_in.bias"][0] = torch.nan
    save_file(weights, folder / WEIGHTS)
    sign(folder)


def drop_a_tensor(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["conv_in.bias"]
    save_file(weights, folder / WEIGHTS)
    sign(folder)


def not_safetensors(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04K\x01.")
    sign(folder)


def no_config(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


def no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def card_of_other_steps(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["num_steps"] = 3
    (folder / "card.json").write_text(json.dumps(card))


def unknown_field(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["colour"] = "green"
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "SHA-256 differs"),
        (flip_a_bit, "SHA-256 differs"),
        (poison, r"not finite, first in conv_in\.bias"),
        (drop_a_tensor, r"do not fit: Missing key.*conv_in\.bias"),
        (not_safetensors, "not a safetensors file"),
        (no_config, r"config\.json: cannot be read"),
        (broken_config, "do not fit"),
        (no_card, r"card\.json: cannot read"),
        (card_of_other_steps, "rows must be 4 ascending"),
        (unknown_field, "colour"),
    ],
)
def test_damage_is_named(tiny_family: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = shutil.copytree(tiny_family / "4-step", tmp_path / "4-step")
    damage(folder)
    for load in (load_checkpoint, Sampler):
        with pytest.raises(CheckpointError, match=message) as caught:
            load(folder)
        assert str(tmp_path) in caught.value.detail


def test_a_family_lists_its_steps_and_finds_checkpoints(tiny_family: Path) -> None:
    family = Family.read(tiny_family)
    assert list(family.steps) == [1, 2, 4, 8, 1024]
    assert family.checkpoint_for(2) == "2-step"
    with pytest.raises(InvalidRequest, match="1, 2, 4, 8, 1024") as caught:
        family.checkpoint_for(3)
    assert caught.value.extra == {"allowed": [1, 2, 4, 8, 1024]}


def test_names_that_a_user_may_give(tiny_family: Path) -> None:
    root = tiny_family.parent
    assert locate_checkpoint(root, "tiny/2-step") == tiny_family / "2-step"
    assert locate_checkpoint(root, "tiny", 2) == tiny_family / "2-step"
    assert locate_checkpoint(Path("elsewhere"), str(tiny_family), 2) == tiny_family / "2-step"
    assert locate_checkpoint(Path("elsewhere"), str(tiny_family / "2-step"), 1) == tiny_family / "2-step"
    with pytest.raises(InvalidRequest, match="name the steps"):
        locate_checkpoint(root, "tiny")
    with pytest.raises(NotFound, match="there is no model 'huge'; there are tiny"):
        locate_checkpoint(root, "huge")


def test_sha256_is_of_the_weights_file(tiny_family: Path) -> None:
    folder = tiny_family / "1-step"
    assert read_card(folder).sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_a_checkpoint_that_is_being_written_is_not_listed(tiny_family: Path, tmp_path: Path) -> None:
    family = shutil.copytree(tiny_family, tmp_path / "tiny")
    (family / "1-step").rename(family / ".1-step.abcd")  # as save_checkpoint names it until it is whole
    assert list(Family.read(family).steps) == [2, 4, 8, 1024]
