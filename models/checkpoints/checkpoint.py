"""Checkpoints on disk: a directory that plain diffusers opens, plus our card."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
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
from models.checkpoints.written import scheduler_fields, walks, write_pipeline
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import build_schedule
from models.diffusion.unet import Network, image_shape_of, make_network

# diffusers' pipeline neither defaults to the right number of steps nor recomputes the noise after clipping.
_DIFFUSERS_CALL = (
    "DDIMPipeline.from_pretrained(folder)(num_inference_steps={num_steps}, use_clipped_model_output=True, "
    "batch_size=len(seeds), generator=[torch.Generator().manual_seed(seed) for seed in seeds])"
)


def save_checkpoint(
    folder: Path,
    network: Network,
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
        config, scheduler = network.config, scheduler_fields(num_steps, prediction_type, schedule)
        write_pipeline(partial, network=config, scheduler=scheduler)
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})
        # diffusers' pipeline gives the network no labels, and always steps onto the first row
        same = not config["num_class_embeds"] and last_step == "row_0" and walks(scheduler, rows)
        card = Card(
            fewstep_version=version("fewstep"),
            num_steps=num_steps,
            rows=rows,
            schedule=schedule,
            last_step=last_step,
            prediction_type=prediction_type,
            image_shape=image_shape_of(config),
            num_classes=config["num_class_embeds"],
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


def load_checkpoint(folder: Path) -> tuple[Network, Card]:
    """The network of a checkpoint in float32 and evaluation mode, and its card.

    Raises:
        CheckpointError: As of ``read_stored``, or the weights do not fit the network.
    """
    stored = read_stored(folder)
    with fitting(folder):
        network = make_network(stored.config)
        network.load_state_dict(stored.weights)
    return network.eval(), stored.card
