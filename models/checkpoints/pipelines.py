"""Reading unconditional and class-conditional pipelines of diffusers: DDPM and DDIM."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download

from core.catalog.card import CheckpointError, NoiseSchedule, PredictionType
from core.errors import InvalidRequest
from models.checkpoints.schedulers import read_noise, refuse_scheduler
from models.checkpoints.weights import AVERAGED_FOLDER, describe, find_weights, load_network
from models.diffusion.schedule import full_rows
from models.diffusion.unet import fields

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

PIPELINES = ("DDPMPipeline", "DDIMPipeline")
NETWORK = "UNet2DModel"

_FILES = [
    "model_index.json",
    "unet/*",
    f"{AVERAGED_FOLDER}/*",
    "scheduler/*",
    "config.json",
    "diffusion_pytorch_model*",
    "scheduler_config.json",
]
_SCHEDULER_CONFIG = "scheduler_config.json"
_LATENT = ("vqvae", "vae")  # parts that betray a latent pipeline where no model_index.json lists them
_PIXELS_ALONE = f"only pipelines of pixels can be read, whose parts are unet, a {NETWORK}, and scheduler"


@dataclass(frozen=True)
class Pipeline:
    """What a folder of diffusers holds.

    Attributes:
        network: Its U-Net, in evaluation mode.
        schedule: The table it was trained on.
        rows: The grid of the largest power of two steps on that table.
        prediction_type: What the network predicts.
        weights: Which weights are taken, and which were found besides; a sentence for people.
    """

    network: "UNet2DModel"
    schedule: NoiseSchedule
    rows: tuple[int, ...]
    prediction_type: PredictionType
    weights: str


def find_pipeline(name: str) -> Path:
    """The folder of a pipeline: ``name`` itself, or else the Hub's repository of that name, downloaded.

    Raises:
        InvalidRequest: There is neither.
    """
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 (Path's raises where there is no such user)
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InvalidRequest(f"{name}: no such file or folder, and no name of the Hub (owner/name)", field="checkpoint")
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except Exception as error:  # whatever the Hub's client and the network raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidRequest(
            f"{name}: no such file or folder, nor to be had from the Hugging Face Hub: {reason}", field="checkpoint"
        ) from error


def read_pipeline(folder: Path) -> Pipeline:
    """Read a pipeline's folder, or that of a run of diffusers' own scripts under ``accelerate``.

    U-Net and scheduler may lie in it or in sub-folders ``unet``, ``unet_ema`` and ``scheduler``; the scheduler may also
    lie in the folder around it, which is where a run keeps it beside its states.

    Raises:
        CheckpointError: It is not a pipeline of a known kind; the message says what is, and what is allowed.
    """
    folder = folder.resolve()
    scheduler = _find_scheduler(folder)
    around = (
        [] if folder in scheduler.parents else [folder.parent]
    )  # what is around it belongs to it with the scheduler
    for place in (folder, *around):
        _refuse_other_parts(place)
    found = find_weights(folder)
    unet = found[0].folder / "config.json"
    config = _read_config(unet)
    _refuse_other_networks(config, unet)
    schedule, prediction_type = read_noise(_read_config(scheduler), scheduler)
    rows = full_rows(schedule.num_rows)
    table = config.get("num_train_timesteps")
    if config.get("time_embedding_type") == "learned" and isinstance(table, int) and table < schedule.num_rows:
        raise CheckpointError(
            f"{unet}: num_train_timesteps is {table}; it must be those of the scheduler, {schedule.num_rows}"
        )
    return Pipeline(load_network(found[0]), schedule, rows, prediction_type, describe(found))


def _find_scheduler(folder: Path) -> Path:
    """The scheduler's configuration."""
    places = (folder / "scheduler", folder, folder.parent / "scheduler")
    for place in places:
        if (place / _SCHEDULER_CONFIG).is_file():
            return place / _SCHEDULER_CONFIG
    raise CheckpointError(
        f"{places[0] / _SCHEDULER_CONFIG}: cannot be read (no such file, nor in {folder} or {places[2]}); not a "
        "pipeline of diffusers, whose scheduler says what noise the network was trained on"
    )


def _refuse_other_parts(folder: Path) -> None:
    """Raise ``CheckpointError`` where a folder's pipeline, or a part of it, is not known here."""
    path = folder / "model_index.json"
    if not path.is_file():
        if latent := [name for name in _LATENT if (folder / name).is_dir()]:
            raise CheckpointError(f"{folder / latent[0]}: {_PIXELS_ALONE}")
        return
    index = _read_config(path)
    name = index.get("_class_name")
    for part, kind in index.items():
        if part.startswith("_") or not isinstance(kind, list) or kind[-1:] in ([], [None]):
            continue
        if part == "scheduler":
            refuse_scheduler(kind[-1], path)
        elif part != "unet" or kind[-1] != NETWORK:
            raise CheckpointError(f"{path}: a {name} whose {part} is a {kind[-1]}; {_PIXELS_ALONE}")
    if name not in PIPELINES:
        raise CheckpointError(f"{path}: a {name}; only {' and '.join(PIPELINES)} can be read")


def _refuse_other_networks(config: Mapping[str, Any], path: Path) -> None:
    """Raise ``CheckpointError`` where a U-Net's configuration is not of one from pixels to pixels of the same shape."""
    name = config.get("_class_name")
    if name != NETWORK:
        raise CheckpointError(f"{path}: a {name}; only pipelines with a {NETWORK} can be read")
    taken, given = (config.get(field, fields()[field]) for field in ("in_channels", "out_channels"))
    if given == 2 * taken:
        raise CheckpointError(f"{path}: the network also predicts the variance, which a student of it could not")
    if given != taken:
        raise CheckpointError(
            f"{path}: in_channels is {taken} and out_channels {given}; they must be equal, for what is shown to the "
            "network besides the noise is not known here"
        )
    if taken not in (1, 3):
        raise CheckpointError(f"{path}: in_channels is {taken}; pictures have 1 (grey) or 3 (red, green, blue)")
    size = config.get("sample_size")
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise CheckpointError(f"{path}: sample_size is {json.dumps(size)}; it must be pixels, or height and width")
    if config.get("class_embed_type") is not None:
        raise CheckpointError(
            f"{path}: class_embed_type is {config['class_embed_type']}; only null is allowed, where classes are "
            "numbers (num_class_embeds) or there are none"
        )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); not a pipeline of diffusers") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: not an object of JSON, as diffusers writes")
    return config
