"""A checkpoint as it lies on disk, verified. Knows no diffusers, whose import takes seconds."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.catalog.card import Card, CheckpointError, read_card
from models.checkpoints.files import verify_weights
from models.diffusion.unet import image_shape_of

WEIGHTS = Path("unet", "diffusion_pytorch_model.safetensors")
UNET_CONFIG = Path("unet", "config.json")


@dataclass(frozen=True)
class Stored:
    """What a checkpoint's folder holds.

    Attributes:
        card: Its card.
        config: Fields of diffusers' network, as they are in its file.
        weights: Of that network, by name, float32.
    """

    card: Card
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    def to(self, device: torch.device) -> Self:
        """The same with its weights on a device."""
        return replace(self, weights={name: value.to(device) for name, value in self.weights.items()})


def read_stored(folder: Path) -> Stored:
    """A checkpoint's files. Whether weights and configuration fit shows where a network is made of them: ``fitting``.

    Raises:
        CheckpointError: A file is missing or damaged, the weights are not those the card was written for or not
            finite, or the card says otherwise than the configuration. The message says which file and what is wrong.
    """
    card = read_card(folder)
    weights, config_path = folder / WEIGHTS, folder / UNET_CONFIG
    verify_weights(weights, card.sha256)
    with fitting(folder):
        try:
            config = json.loads(config_path.read_bytes())
            state = load_file(weights)
        except OSError as error:
            raise CheckpointError(f"{config_path}: cannot be read ({error.strerror})") from error
        except SafetensorError as error:
            raise CheckpointError(f"{weights}: not a safetensors file: {error}") from error
        shape, classes = image_shape_of(config), config["num_class_embeds"]
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{weights}: holds values that are not finite, first in {bad[0]}")
    if shape != card.image_shape:
        raise CheckpointError(f"{folder}: the card says images of {card.image_shape}, the network {shape}")
    if classes != card.num_classes:
        raise CheckpointError(f"{folder}: the card says {card.num_classes} classes, the network {classes}")
    return Stored(card, config, {name: value.float() for name, value in state.items()})


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Within it what is raised of weights that are none of a configuration's becomes an error of the checkpoint."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder}: weights and network do not fit: {reason}") from error
