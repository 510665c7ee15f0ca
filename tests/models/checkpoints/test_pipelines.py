"""Pipelines of diffusers as teachers: read, sampled as diffusers samples them, distilled."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from core.catalog.card import CheckpointError, read_card
from core.errors import InvalidRequest
from models.checkpoints.checkpoint import save_checkpoint
from models.checkpoints.pipelines import find_pipeline, read_pipeline
from models.diffusion.schedule import build_schedule
from models.sampling.engine import Sampler


def eps_network(seed: int = 0) -> UNet2DModel:
    """A small U-Net with diffusers' own defaults wherever ours are others."""
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``DDPMPipeline.save_pretrained`` writes for a network that predicts noise on the table of Ho et al."""
    folder = tmp_path_factory.mktemp("pipeline") / "ddpm"
    DDPMPipeline(eps_network(), DDPMScheduler(1000)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("beta_schedule", "rows"),
    [("linear", 1000), ("linear", 1024), ("scaled_linear", 1000), ("squaredcos_cap_v2", 1000)],
)
def test_the_table_is_that_of_the_scheduler(tmp_path: Path, beta_schedule: str, rows: int) -> None:
    scheduler = DDPMScheduler(rows, beta_schedule=beta_schedule, prediction_type="v_prediction")
    DDPMPipeline(eps_network(), scheduler).save_pretrained(tmp_path)
    pipeline = read_pipeline(tmp_path)
    assert pipeline.prediction_type == "v_prediction"
    schedule = build_schedule(pipeline.schedule)
    torch.testing.assert_close(schedule.alpha.square().float(), scheduler.alphas_cumprod, rtol=2e-4, atol=1e-7)
    assert len(pipeline.rows) == 513
    assert (pipeline.rows[0], pipeline.rows[-1]) == (0, rows - 1)


def imported(folder: Path, out: Path) -> Path:
    pipeline = read_pipeline(folder)
    save_checkpoint(
        out,
        pipeline.network,
        rows=pipeline.rows,
        schedule=pipeline.schedule,
        prediction_type=pipeline.prediction_type,
        method="import",
    )
    return out


@pytest.mark.parametrize(("num_steps", "levels"), [(1, 1.0), (4, 2.5)])
def test_it_samples_as_diffusers_does(ddpm: Path, tmp_path: Path, num_steps: int, levels: float) -> None:
    """Exactly in one step; in four, diffusers' rows are one off ours here and there."""
    scheduler = DDIMScheduler(1000, timestep_spacing="trailing", set_alpha_to_one=False, clip_sample=True)
    theirs = DDIMPipeline(UNet2DModel.from_pretrained(ddpm / "unet"), scheduler)
    theirs.set_progress_bar_config(disable=True)
    images = theirs(
        num_inference_steps=num_steps,
        use_clipped_model_output=True,
        batch_size=3,
        generator=[torch.Generator().manual_seed(seed) for seed in (3, 4, 5)],
        output_type="np",
    ).images
    ours = Sampler(imported(ddpm, tmp_path / "f" / "teacher")).sample(seeds=[3, 4, 5], num_steps=num_steps)
    assert np.abs(images * 255 - ours).max() <= levels


def test_a_folder_without_sub_folders_is_read_too(ddpm: Path, tmp_path: Path) -> None:
    """The layout of the first DDPM repositories on the Hub."""
    for name in ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"):
        (tmp_path / Path(name).name).write_bytes((ddpm / name).read_bytes())
    weight = read_pipeline(tmp_path).network.conv_in.weight
    assert torch.equal(weight, read_pipeline(ddpm).network.conv_in.weight)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "only pipelines with a UNet2DModel"),
        ("unet/config.json", {"out_channels": 2}, "also predicts the variance"),
        ("unet/config.json", {"layers_per_block": 2}, "weights and network do not fit"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1, 0.2]}, "trained_betas"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "beta_schedule: Input should be"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "prediction_type: Input should be"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
    ],
)
def test_what_cannot_be_a_teacher_is_refused(ddpm: Path, file: str, change: dict[str, object], said: str) -> None:
    path = ddpm / file
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **change}))
    try:
        with pytest.raises(CheckpointError, match=said):
            read_pipeline(ddpm)
    finally:
        path.write_text(before)


def test_what_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        read_pipeline(tmp_path)
    with pytest.raises(InvalidRequest, match="no such file or folder"):
        find_pipeline("nowhere")


def test_the_table_goes_with_the_card(ddpm: Path, tmp_path: Path) -> None:
    card = read_card(imported(ddpm, tmp_path / "f" / "teacher"))
    assert (card.schedule.beta_schedule, card.schedule.num_rows) == ("linear", 1000)
    assert (card.schedule.beta_start, card.schedule.beta_end) == (0.0001, 0.02)
    assert (card.prediction_type, card.num_steps) == ("epsilon", 512)
