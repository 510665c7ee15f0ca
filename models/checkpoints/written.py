"""The files by which plain diffusers opens a checkpoint as its own, written without diffusers."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from core.catalog.card import PAPER_SCHEDULE, NoiseSchedule, PredictionType
from models.checkpoints.schedulers import AS_SAMPLED_HERE, LINEAR_ENDS
from models.diffusion.schedule import COSINE_ROWS

Fields = Mapping[str, Any]

_SCHEDULER: Fields = {
    # diffusers' defaults, but for the last.
    **LINEAR_ENDS,
    **{name: allowed for name, (allowed, _) in AS_SAMPLED_HERE.items()},
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
}


def scheduler_fields(
    num_steps: int, prediction_type: PredictionType, table: NoiseSchedule = PAPER_SCHEDULE
) -> dict[str, Any]:
    """The configuration of the ``DDIMScheduler`` that walks the rows of a table by the same steps as ours.

    Where the steps divide a table they are the same rows. Elsewhere diffusers cannot be told ours; its own are one off
    at most.
    """
    stride, rest = divmod(table.num_rows - 1, num_steps)
    even = rest == 0 or table.num_rows == COSINE_ROWS
    return {
        **_SCHEDULER,
        "num_train_timesteps": table.num_rows,
        "beta_schedule": table.beta_schedule,
        **{name: value for name, value in table if name in LINEAR_ENDS and value is not None},
        "timestep_spacing": "leading" if even else "trailing",
        "steps_offset": stride if even else 0,
        "prediction_type": prediction_type,
    }


def walks(scheduler: Fields, rows: tuple[int, ...]) -> bool:
    """Whether a ``DDIMScheduler`` goes along exactly these rows, given from clean to noise."""
    num_rows, num_steps = scheduler["num_train_timesteps"], len(rows) - 1
    stride = num_rows // num_steps
    if scheduler["timestep_spacing"] == "leading":
        visited = np.arange(num_steps)[::-1] * stride + scheduler["steps_offset"]
    else:
        visited = np.arange(num_rows, 0, -num_rows / num_steps).round().astype(np.int64) - 1
    steps = [(int(row), max(int(row) - stride, 0)) for row in visited]
    return steps == list(zip(rows[:0:-1], rows[-2::-1], strict=True))


def write_pipeline(folder: Path, *, network: Fields, scheduler: Fields) -> None:
    """Write a ``DDIMPipeline``'s files, all but the weights, into a new folder."""
    parts = {"scheduler": ("DDIMScheduler", scheduler), "unet": ("UNet2DModel", network)}
    _write(
        folder / "model_index.json", "DDIMPipeline", {name: ["diffusers", kind] for name, (kind, _) in parts.items()}
    )
    for name, file in (("scheduler", "scheduler_config.json"), ("unet", "config.json")):
        (folder / name).mkdir()
        _write(folder / name / file, *parts[name])


def _write(path: Path, kind: str, fields: Fields) -> None:
    own = {name: value for name, value in fields.items() if not name.startswith("_")}
    content = {"_class_name": kind, "_diffusers_version": version("diffusers"), **own}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
