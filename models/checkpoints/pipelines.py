"""Reading unconditional and class-conditional pipelines of diffusers: DDPM, DDIM and their kin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.models.unets.unet_2d import UNet2DModel
from huggingface_hub import snapshot_download
from pydantic import TypeAdapter, ValidationError

from core.catalog.card import CheckpointError, NoiseSchedule, PredictionType
from core.errors import InvalidRequest
from models.diffusion.schedule import full_rows

_FILES = [
    "model_index.json",
    "unet/*",
    "scheduler/*",
    "config.json",
    "diffusion_pytorch_model.*",
    "scheduler_config.json",
]
_PREDICTION_TYPE: TypeAdapter[PredictionType] = TypeAdapter(PredictionType)


@dataclass(frozen=True)
class Pipeline:
    """What a folder of diffusers holds.

    Attributes:
        network: Its U-Net, in evaluation mode.
        schedule: The table it was trained on.
        rows: The grid of the largest power of two steps on that table.
        prediction_type: What the network predicts.
    """

    network: UNet2DModel
    schedule: NoiseSchedule
    rows: tuple[int, ...]
    prediction_type: PredictionType


def find_pipeline(name: str) -> Path:
    """The folder of a pipeline: ``name`` itself, or else the Hub's repository of that name, downloaded.

    Raises:
        InvalidRequest: There is neither.
    """
    folder = Path(name).expanduser()
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
    """Read a pipeline folder; the U-Net and scheduler may lie in it or in sub-folders ``unet`` and ``scheduler``.

    Raises:
        CheckpointError: It is not a pipeline with a ``UNet2DModel``, or its noise is not of a kind that is known here.
    """
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    scheduler = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    config = _read_config(unet / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise CheckpointError(f"{unet}: a {config.get('_class_name')}; only pipelines with a UNet2DModel can be read")
    if config["in_channels"] != config["out_channels"]:
        raise CheckpointError(f"{unet}: the network also predicts the variance, which a student of it could not")
    table = _read_config(scheduler / "scheduler_config.json")
    schedule, prediction_type = _noise(table, scheduler)
    try:
        network, found = UNet2DModel.from_pretrained(unet, low_cpu_mem_usage=False, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{unet}: the weights cannot be read: {reason}") from error
    # diffusers would leave what is missing at random
    if wrong := [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]:
        raise CheckpointError(f"{unet}: weights and network do not fit, first in {wrong[0]}")
    return Pipeline(network.eval(), schedule, full_rows(schedule.num_rows), prediction_type)


def _noise(table: Mapping[str, Any], folder: Path) -> tuple[NoiseSchedule, PredictionType]:
    """The noise table and what the network predicts, from a scheduler's configuration; diffusers' defaults for gaps."""
    if table.get("trained_betas") is not None:
        raise CheckpointError(f"{folder}: betas of its own (trained_betas) are not supported")
    if table.get("rescale_betas_zero_snr"):
        raise CheckpointError(f"{folder}: a table that ends in pure noise (rescale_betas_zero_snr) is not supported")
    beta_schedule = table.get("beta_schedule", "linear")
    ends = {} if beta_schedule == "squaredcos_cap_v2" else {"beta_start": 0.0001, "beta_end": 0.02}
    try:
        schedule = NoiseSchedule(
            beta_schedule=beta_schedule,
            num_rows=table.get("num_train_timesteps", 1000),
            **{name: table.get(name, default) for name, default in ends.items()},
        )
        return schedule, _PREDICTION_TYPE.validate_python(table.get("prediction_type", "epsilon"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "prediction_type"
        raise CheckpointError(f"{folder}: {where}: {first['msg']}, not {first['input']!r}") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); not a pipeline of diffusers") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    return config
