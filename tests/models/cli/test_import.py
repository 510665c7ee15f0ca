"""``fewstep import``: the CFD authors' files and pipelines of diffusers, to a checkpoint that samples and teaches."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from core.catalog.card import read_card
from models.checkpoints.checkpoint import load_checkpoint
from models.diffusion.unet import UNetConfig
from tests.models import diffusers
from tests.models.conftest import Here
from tests.models.networks import diffusers_unet

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden" / "reference_vectors.safetensors"


def authors_file(path: Path, *, num_steps: int, scale: int) -> None:
    """A ``ckpt.pt`` as the authors' code writes it, from the golden networks."""
    with safe_open(GOLDEN, "pt") as file:
        states = {
            who: {key.removeprefix(who): file.get_tensor(key) for key in file.keys() if key.startswith(who)}  # noqa: SIM118
            for who in ("teacher.", "student.")
        }
        noise = file.get_tensor("ddim.x_T")
    for state in states.values():
        state["time_embedding.timembedding.0.weight"] = torch.zeros(1025, 32)
    content = {"net_model": states["student."], "x_T": noise, "T": num_steps, "time_scale": scale}
    if scale == 1:
        content["ema_model"] = states["teacher."]
    torch.save(content, path)


def test_import_of_a_base_model_samples_as_the_authors_code_does(tmp_path: Path, here: Here) -> None:
    authors_file(tmp_path / "ckpt.pt", num_steps=1024, scale=1)
    here("import", tmp_path / "ckpt.pt", "--out", tmp_path / "golden" / "teacher")
    with safe_open(GOLDEN, "pt") as file:
        np.save(tmp_path / "noise.npy", file.get_tensor("ddim.x_T").numpy())
        expected = (file.get_tensor("ddim.from1024_stride128").permute(0, 2, 3, 1).numpy() / 2 + 0.5) * 255
    here(
        *("sample", tmp_path / "golden" / "teacher", "--steps", "8", "--noise", tmp_path / "noise.npy"),
        *("--out", tmp_path / "a.npy"),
    )
    # float16 on disk costs up to a level
    assert np.abs(np.load(tmp_path / "a.npy") - expected).max() <= 1.5


def test_import_of_a_student_takes_its_own_weights_and_rows(tmp_path: Path, here: Here) -> None:
    authors_file(tmp_path / "ckpt.pt", num_steps=8, scale=128)
    out = tmp_path / "golden" / "8-step"
    here("import", tmp_path / "ckpt.pt", "--out", out, "--prediction-type", "epsilon")
    card = read_card(out)
    assert card.rows == tuple(range(0, 1025, 128))
    assert card.prediction_type == "epsilon"
    network, _ = load_checkpoint(out)
    with safe_open(GOLDEN, "pt") as file:
        head = file.get_tensor("student.head.weight")
    assert torch.equal(network.get_parameter("conv_in.weight"), head.half().float())


def test_an_imported_base_model_is_distilled_and_sampled(tmp_path: Path, here: Here) -> None:
    authors_file(tmp_path / "ckpt.pt", num_steps=1024, scale=1)
    family = tmp_path / "golden"
    here("import", tmp_path / "ckpt.pt", "--out", family / "teacher")
    source = tmp_path / "pictures"
    source.mkdir()
    for index in range(4):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{index}.png")
    here(
        *("distill", "--teacher", family / "teacher", "--from", "8", "--to", "4", "--out", family),
        *("--data", source, "--iterations", "2", "--batch-size", "2"),
    )
    assert read_card(family / "4-step").parent == "golden/teacher"
    here("sample", family, "--steps", "4", "--out", tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (1, 32, 32, 3)


def test_a_pipeline_of_diffusers_is_imported_converted_distilled_and_sampled(tmp_path: Path, here: Here) -> None:
    torch.manual_seed(0)
    network = diffusers_unet(UNetConfig(image_shape=(1, 16, 16), channels=32, multipliers=(1,), attention_levels=()))
    diffusers.DDPMPipeline(network, diffusers.DDPMScheduler(1000)).save_pretrained(tmp_path / "ddpm")
    family = tmp_path / "digits"
    here("import", tmp_path / "ddpm", "--out", family / "teacher")
    here(
        *("distill", "--teacher", family / "teacher", "--from", "4", "--to", "2", "--out", family),
        *("--iterations", "2", "--batch-size", "2"),
    )
    converted, student = read_card(family / "4-step"), read_card(family / "2-step")
    assert (converted.method, converted.prediction_type, converted.parent) == (
        "conversion",
        "sample",
        "digits/teacher",
    )
    assert (student.method, student.prediction_type, student.parent) == ("pd", "sample", "digits/4-step")
    assert student.rows == (0, 500, 999)
    assert student.schedule == read_card(family / "teacher").schedule
    for steps in ("4", "2"):
        here("sample", family, "--steps", steps, "--out", tmp_path / "a.png")


def test_import_says_which_weights_it_takes(tmp_path: Path, here: Here) -> None:
    network = diffusers_unet(UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=()))
    diffusers.DDPMPipeline(network, diffusers.DDPMScheduler(1000)).save_pretrained(
        tmp_path / "ddpm", safe_serialization=False
    )
    said = here("import", tmp_path / "ddpm", "--out", tmp_path / "a" / "teacher")
    assert said.splitlines()[0] == f"{tmp_path / 'ddpm'}: takes the weights of unet/diffusion_pytorch_model.bin"
    authors_file(tmp_path / "ckpt.pt", num_steps=1024, scale=1)
    said = here("import", tmp_path / "ckpt.pt", "--out", tmp_path / "b" / "teacher")
    assert "ckpt.pt: takes the weights of ema_model (averaged); found besides: net_model\n" in said


def test_import_of_another_kind_of_pipeline_is_one_line_and_writes_nothing(tmp_path: Path, here: Here) -> None:
    """A score network on noise that explodes, which a card of DDPM's defaults once stood for."""
    network = diffusers.UNet2DModel(
        **{"sample_size": 8, "block_out_channels": (32, 32), "layers_per_block": 1, "time_embedding_type": "fourier"},
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    )
    pipeline = diffusers.ScoreSdeVePipeline(network, diffusers.ScoreSdeVeScheduler())
    pipeline.save_pretrained(tmp_path / "sde")
    for _ in range(2):
        said = here("import", tmp_path / "sde", "--out", tmp_path / "family" / "teacher", expect=2)
        assert "the scheduler is a ScoreSdeVeScheduler; known are those that keep the variance" in said
        assert "DDPMScheduler" in said
        assert said.count("\n") == 1
        (tmp_path / "sde" / "model_index.json").unlink(missing_ok=True)  # its own configuration says so too
    assert not (tmp_path / "family").exists()


def test_import_refuses_a_network_that_cannot_make_its_images(tmp_path: Path, here: Here) -> None:
    config = UNetConfig(image_shape=(1, 9, 9), channels=32, multipliers=(1, 1), attention_levels=())
    diffusers.DDPMPipeline(diffusers_unet(config), diffusers.DDPMScheduler(1000)).save_pretrained(tmp_path / "ddpm")
    said = here("import", tmp_path / "ddpm", "--out", tmp_path / "family" / "teacher", expect=2)
    assert "ddpm: the network cannot make images of (1, 9, 9)" in said
    assert not (tmp_path / "family").exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [{"net_model": {}}, {"T": 3, "time_scale": 1, "x_T": 0, "net_model": {}}, Evil()])
def test_import_refuses_what_is_no_such_checkpoint(
    tmp_path: Path, here: Here, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "ckpt.pt")
    said = here("import", "ckpt.pt", "--out", "x/y", expect=2)
    assert "ckpt.pt: not a checkpoint of the CFD authors' code" in said
    assert said.count("\n") == 1
    assert not Path("pwned").exists()
    assert not Path("x").exists()
