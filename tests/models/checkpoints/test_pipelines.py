"""Pipelines of diffusers as teachers: read, sampled as diffusers samples them, distilled."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from core.catalog.card import CheckpointError, NoiseSchedule, read_card
from core.errors import InvalidRequest
from models.checkpoints.checkpoint import save_checkpoint
from models.checkpoints.pipelines import find_pipeline, read_pipeline
from models.diffusion.schedule import build_schedule
from models.sampling.engine import Sampler
from tests.models import diffusers


def eps_network(**changes: object) -> "diffusers.UNet2DModel":
    """A small U-Net with diffusers' own defaults wherever ours are others, but for ``changes``."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        **changes,
    )


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``DDPMPipeline.save_pretrained`` writes for a network that predicts noise on the table of Ho et al."""
    folder = tmp_path_factory.mktemp("pipeline") / "ddpm"
    diffusers.DDPMPipeline(eps_network(), diffusers.DDPMScheduler(1000)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("beta_schedule", "rows"),
    [("linear", 1000), ("linear", 1024), ("scaled_linear", 1000), ("squaredcos_cap_v2", 1000)],
)
def test_the_table_is_that_of_the_scheduler(tmp_path: Path, beta_schedule: str, rows: int) -> None:
    scheduler = diffusers.DDPMScheduler(rows, beta_schedule=beta_schedule, prediction_type="v_prediction")
    diffusers.DDPMPipeline(eps_network(), scheduler).save_pretrained(tmp_path)
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
    scheduler = diffusers.DDIMScheduler(1000, timestep_spacing="trailing", set_alpha_to_one=False, clip_sample=True)
    theirs = diffusers.DDIMPipeline(diffusers.UNet2DModel.from_pretrained(ddpm / "unet"), scheduler)
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


@pytest.mark.parametrize("change", [{"time_embedding_type": "fourier"}, {"center_input_sample": True}])
def test_a_foreign_network_samples_as_diffusers_runs_it(tmp_path: Path, change: dict[str, object]) -> None:
    network = eps_network(**change)
    theirs = diffusers.DDPMPipeline(network, diffusers.DDPMScheduler(1000, prediction_type="sample"))
    theirs.save_pretrained(tmp_path / "ddpm")
    teacher = imported(tmp_path / "ddpm", tmp_path / "f" / "teacher")
    noise = torch.cat([torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)])
    with torch.inference_mode():
        x_hat = network.half().float().eval()(noise, 999).sample.clamp(-1, 1)
    scheduler = diffusers.DDIMScheduler(
        1000, timestep_spacing="trailing", set_alpha_to_one=False, prediction_type="sample"
    )
    scheduler.set_timesteps(1)
    images = scheduler.step(x_hat, 999, noise, use_clipped_model_output=True).prev_sample.clamp(-1, 1)
    ours = Sampler(teacher).sample(seeds=[3, 4], num_steps=1)
    assert np.abs((images.permute(0, 2, 3, 1).numpy() / 2 + 0.5) * 255 - ours).max() <= 1


def test_a_folder_without_sub_folders_is_read_too(ddpm: Path, tmp_path: Path) -> None:
    """The layout of the first DDPM repositories on the Hub."""
    for name in ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"):
        (tmp_path / Path(name).name).write_bytes((ddpm / name).read_bytes())
    weight = read_pipeline(tmp_path).network.conv_in.weight
    assert torch.equal(weight, read_pipeline(ddpm).network.conv_in.weight)


UNET, SCHEDULER, INDEX = "unet/config.json", "scheduler/scheduler_config.json", "model_index.json"


@contextmanager
def changed(path: Path, change: Mapping[str, object]) -> Iterator[None]:
    """A configuration with other fields, or without those that are ``...``, for a while."""
    before = path.read_text()
    fields = {**json.loads(before), **change}
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))
    try:
        yield
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (INDEX, {"_class_name": "ScoreSdeVePipeline"}, r"a ScoreSdeVePipeline; only DDPMPipeline and DDIMPipeline"),
        (INDEX, {"_class_name": ...}, "a None; only DDPMPipeline"),
        (INDEX, {"vqvae": ["diffusers", "VQModel"]}, "whose vqvae is a VQModel; only pipelines of pixels"),
        (INDEX, {"text_encoder": ["transformers", "CLIPTextModel"]}, "whose text_encoder is a CLIPTextModel"),
        (INDEX, {"unet": ["diffusers", "UNet2DConditionModel"]}, "whose unet is a UNet2DConditionModel"),
        (INDEX, {"scheduler": ["diffusers", "KarrasVeScheduler"]}, r"is a KarrasVeScheduler; known .* DDPMScheduler,"),
        (UNET, {"_class_name": "UNet2DConditionModel"}, "only pipelines with a UNet2DModel"),
        (UNET, {"out_channels": 2}, "also predicts the variance"),
        (UNET, {"in_channels": 3, "out_channels": ...}, "weights cannot be read: .*size mismatch for conv_in"),
        (UNET, {"in_channels": 6, "out_channels": 3}, "in_channels is 6 and out_channels 3; they must be equal"),
        (UNET, {"in_channels": 4, "out_channels": 4}, r"in_channels is 4; pictures have 1 \(grey\) or 3"),
        (UNET, {"sample_size": None}, "sample_size is null"),
        (UNET, {"sample_size": "8"}, 'sample_size is "8"'),
        (UNET, {"class_embed_type": "timestep"}, "class_embed_type is timestep; only null"),
        (UNET, {"layers_per_block": 2}, "weights and network do not fit"),
        (UNET, {"down_block_types": ["OwnBlock", "DownBlock2D"]}, "OwnBlock does not exist"),
        (UNET, {"time_embedding_type": "learned", "num_train_timesteps": 500}, "num_train_timesteps is 500; .* 1000"),
        (SCHEDULER, {"_class_name": "ScoreSdeVeScheduler"}, "is a ScoreSdeVeScheduler; known .* DDIMScheduler,"),
        (SCHEDULER, {"_class_name": "PNDMScheduler"}, "is a PNDMScheduler; known are those that .* clip samples"),
        (SCHEDULER, {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "is a FlowMatchEulerDiscreteScheduler"),
        (SCHEDULER, {"_class_name": ...}, "the scheduler's class is not said"),
        (SCHEDULER, {"trained_betas": [0.1, 0.2]}, "trained_betas is .*; only null is allowed"),
        (SCHEDULER, {"beta_schedule": "sigmoid"}, "beta_schedule: Input should be"),
        (SCHEDULER, {"beta_start": None}, "beta_start: .* needs beta_start and beta_end, not null"),
        (SCHEDULER, {"num_train_timesteps": "many"}, 'num_train_timesteps: .* not "many"'),
        (SCHEDULER, {"num_train_timesteps": 10**9}, "num_train_timesteps is 1000000000; at most 100000"),
        (SCHEDULER, {"prediction_type": "flow"}, "prediction_type: it must be one of sample, epsilon, v_prediction"),
        (SCHEDULER, {"predict_epsilon": True, "prediction_type": "sample"}, "predict_epsilon is true and"),
        (SCHEDULER, {"predict_epsilon": False, "prediction_type": "v_prediction"}, "predict_epsilon is false and"),
        (SCHEDULER, {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is true; only false"),
        (SCHEDULER, {"clip_sample": False}, r"clip_sample is false; only true is allowed, .* \[-1, 1\]"),
        (SCHEDULER, {"clip_sample": None}, "clip_sample is null; only true"),
        (SCHEDULER, {"clip_sample_range": 2.0}, r"clip_sample_range is 2\.0; only 1\.0"),
        (SCHEDULER, {"thresholding": True}, "thresholding is true; only false"),
    ],
)
def test_what_cannot_be_a_teacher_is_refused(ddpm: Path, file: str, change: dict[str, object], said: str) -> None:
    with changed(ddpm / file, change), pytest.raises(CheckpointError, match=said) as caught:
        read_pipeline(ddpm)
    assert str(ddpm) in caught.value.detail


@pytest.mark.parametrize(
    ("change", "predicts"),
    [
        ({"predict_epsilon": False, "prediction_type": ...}, "sample"),
        ({"predict_epsilon": False}, "sample"),  # beside the default, which it overrode
        ({"predict_epsilon": True, "prediction_type": ...}, "epsilon"),
        ({"prediction_type": ..., "clip_sample": ..., "thresholding": ..., "beta_end": ...}, "epsilon"),
        ({"_class_name": "DDIMScheduler", "clip_sample_range": 1, "tensor_format": "pt"}, "epsilon"),
    ],
)
def test_schedulers_of_old_are_read_as_they_were_meant(ddpm: Path, change: dict[str, object], predicts: str) -> None:
    with changed(ddpm / SCHEDULER, change):
        pipeline = read_pipeline(ddpm)
    assert pipeline.prediction_type == predicts
    assert pipeline.schedule == NoiseSchedule(beta_schedule="linear", num_rows=1000, beta_start=1e-4, beta_end=0.02)


def test_parts_that_are_left_out_are_no_parts(ddpm: Path) -> None:
    with changed(ddpm / INDEX, {"safety_checker": [None, None]}):
        read_pipeline(ddpm)


def test_the_unet_of_a_latent_pipeline_is_one_alone_too(tmp_path: Path) -> None:
    decoder = diffusers.VQModel(in_channels=1, out_channels=1)
    diffusers.LDMPipeline(decoder, eps_network(), diffusers.DDIMScheduler()).save_pretrained(tmp_path)
    for folder in (tmp_path, tmp_path / "unet"):
        with pytest.raises(CheckpointError, match="a LDMPipeline whose vqvae is a VQModel"):
            read_pipeline(folder)
    (tmp_path / INDEX).unlink()
    with pytest.raises(CheckpointError, match="vqvae: only pipelines of pixels"):
        read_pipeline(tmp_path)


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
