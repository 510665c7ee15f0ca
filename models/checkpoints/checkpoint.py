"""Checkpoints on disk: a directory that plain diffusers opens, plus our card."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import save_file

from core.catalog.card import (
    CARD_NAME,
    PAPER_SCHEDULE,
    Card,
    CheckpointError,
    LastStep,
    NoiseSchedule,
    PredictionType,
)
from models.checkpoints.files import new_folder, sha256
from models.checkpoints.stored import WEIGHTS, fitting, read_stored
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import COSINE_ROWS, build_schedule
from models.diffusion.unet import image_shape_of

# diffusers' pipeline neither defaults to the right number of steps nor recomputes the noise after clipping.
_DIFFUSERS_CALL = (
    "DDIMPipeline.from_pretrained(folder)(num_inference_steps={num_steps}, use_clipped_model_output=True, "
    "batch_size=len(seeds), generator=[torch.Generator().manual_seed(seed) for seed in seeds])"
)


def diffusers_scheduler(
    num_steps: int, prediction_type: PredictionType, table: NoiseSchedule = PAPER_SCHEDULE
) -> DDIMScheduler:
    """The scheduler of diffusers that walks the rows of a table by the same steps as ours.

    Where the steps divide a table they are the same rows. Elsewhere diffusers cannot be told ours; its own are one off
    at most.
    """
    stride, rest = divmod(table.num_rows - 1, num_steps)
    even = rest == 0 or table.num_rows == COSINE_ROWS
    return DDIMScheduler(
        num_train_timesteps=table.num_rows,
        beta_schedule=table.beta_schedule,
        **{name: value for name, value in table if name in ("beta_start", "beta_end") and value is not None},
        timestep_spacing="leading" if even else "trailing",
        steps_offset=stride if even else 0,
        set_alpha_to_one=False,
        prediction_type=prediction_type,
        clip_sample=True,
    )


def walks(scheduler: DDIMScheduler, rows: tuple[int, ...]) -> bool:
    """Whether a scheduler of diffusers goes along exactly these rows, given from clean to noise."""
    num_steps = len(rows) - 1
    scheduler.set_timesteps(num_steps)
    stride = scheduler.config.num_train_timesteps // num_steps
    steps = [(int(row), max(int(row) - stride, 0)) for row in scheduler.timesteps]
    return steps == list(zip(rows[:0:-1], rows[-2::-1], strict=True))


def save_checkpoint(
    folder: Path,
    network: UNet2DModel,
    *,
    rows: tuple[int, ...],
    schedule: NoiseSchedule = PAPER_SCHEDULE,
    prediction_type: PredictionType = "sample",
    last_step: LastStep = "row_0",
    method: str,
    **facts: Any,  # noqa: ANN401 (the card validates them)
) -> Card:
    """Write a checkpoint; it appears whole or not at all.

    The weights are stored as float16, which is what is then evaluated and served.

    Args:
        folder: Where to; must not exist.
        network: The trained network.
        rows: Rows of the table from clean to noise, one more than there are steps.
        schedule: The table that they index.
        prediction_type: What the network predicts.
        last_step: How the last step ends.
        method: How it was made; see ``Card.method``.
        facts: Further fields of the card, such as ``parent``, ``data``, ``hyper_parameters``, ``command``.

    Raises:
        InvalidRequest: ``folder`` exists.
        CheckpointError: A weight is not finite in float16.
    """
    num_steps = len(rows) - 1
    weights = {name: value.detach().half().contiguous().cpu() for name, value in network.state_dict().items()}
    bad = [name for name, value in weights.items() if not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{folder}: not saved, since weights are not finite in float16: {bad[0]}")
    with new_folder(folder) as partial:
        scheduler = diffusers_scheduler(num_steps, prediction_type, schedule)
        DDIMPipeline(network, scheduler).save_pretrained(partial)
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})
        config = network.config
        # diffusers' pipeline gives the network no labels, and always steps onto the first row
        same = not config.num_class_embeds and last_step == "row_0" and walks(scheduler, rows)
        card = Card(
            fewstep_version=version("fewstep"),
            num_steps=num_steps,
            rows=rows,
            schedule=schedule,
            last_step=last_step,
            prediction_type=prediction_type,
            image_shape=image_shape_of(config),
            num_classes=config.num_class_embeds,
            parameters=sum(value.numel() for value in weights.values()),
            method=method,
            diffusers_call=_DIFFUSERS_CALL.format(num_steps=num_steps) if same else None,
            sha256=sha256(partial / WEIGHTS),
            **facts,
        )
        (partial / CARD_NAME).write_text(card.model_dump_json(indent=2) + "\n")
    return card


def load_denoiser(folder: Path, device: torch.device) -> tuple[Denoiser, Card]:
    """A checkpoint's network on a device and how to read it, and its card; errors as of ``load_checkpoint``."""
    network, card = load_checkpoint(folder)
    schedule = build_schedule(card.schedule).to(device)
    return Denoiser(network.to(device), schedule, card.prediction_type, card.num_classes), card


def load_checkpoint(folder: Path) -> tuple[UNet2DModel, Card]:
    """The network of a checkpoint in float32 and evaluation mode, and its card.

    Raises:
        CheckpointError: As of ``read_stored``, or the weights do not fit the network.
    """
    stored = read_stored(folder)
    with fitting(folder):
        network = UNet2DModel.from_config(dict(stored.config))
        network.load_state_dict(stored.weights)
    return network.eval(), stored.card
