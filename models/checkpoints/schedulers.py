"""The noise that a network of diffusers was trained on, from the configuration of its scheduler."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from core.catalog.card import CheckpointError, NoiseSchedule, PredictionType

SCHEDULERS = ("DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler")
"""Those that add noise and keep the variance, and that clip as samplers do here. All have the same defaults."""

MOST_ROWS = 100_000

AS_SAMPLED_HERE = {
    "trained_betas": (None, "the table of noise follows from beta_schedule"),
    "rescale_betas_zero_snr": (False, "the table of noise must not end in pure noise"),
    "thresholding": (False, "samples are clipped here, to [-1, 1]"),
    "clip_sample": (True, "samples are clipped here, to [-1, 1]"),
    "clip_sample_range": (1.0, "samples are clipped here, to [-1, 1]"),
}
"""Fields of which one value can be honoured, diffusers' default, and why. Which rows a sampler visits and whether its
steps are random is its own affair, and the other fields say that."""
LINEAR_ENDS = {"beta_start": 0.0001, "beta_end": 0.02}
"""Of linear tables, diffusers' defaults."""


def read_noise(table: Mapping[str, Any], path: Path) -> tuple[NoiseSchedule, PredictionType]:
    """The table of noise and what the network predicts; what is not said is diffusers' default.

    Args:
        table: The configuration.
        path: Where it was read, for errors.

    Raises:
        CheckpointError: Its class or a field is none of those that can be honoured; the message says what is allowed.
    """
    refuse_scheduler(table.get("_class_name"), path)
    for field, (allowed, why) in AS_SAMPLED_HERE.items():
        if table.get(field, allowed) != allowed:
            value, wanted = _shown(table[field]), _shown(allowed)
            raise CheckpointError(f"{path}: {field} is {value}; only {wanted} is allowed, since {why}")
    beta_schedule = table.get("beta_schedule", "linear")
    ends = {} if beta_schedule == "squaredcos_cap_v2" else LINEAR_ENDS
    try:
        schedule = NoiseSchedule(
            beta_schedule=beta_schedule,
            num_rows=table.get("num_train_timesteps", 1000),
            **{name: table.get(name, default) for name, default in ends.items()},
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        where = {"num_rows": "num_train_timesteps", "": "beta_start"}.get(where, where)
        raise CheckpointError(f"{path}: {where}: {first['msg']}, not {_shown(table.get(where))}") from error
    if schedule.num_rows > MOST_ROWS:
        raise CheckpointError(f"{path}: num_train_timesteps is {schedule.num_rows}; at most {MOST_ROWS} are allowed")
    return schedule, _prediction_type(table, path)


def refuse_scheduler(name: object, path: Path) -> None:
    """Raise ``CheckpointError`` unless a scheduler of that class is known here."""
    if name not in SCHEDULERS:
        said = "the scheduler's class is not said" if name is None else f"the scheduler is a {name}"
        raise CheckpointError(
            f"{path}: {said}; known are those that keep the variance and clip samples: {', '.join(SCHEDULERS)}"
        )


def _prediction_type(table: Mapping[str, Any], path: Path) -> PredictionType:
    """What is predicted; schedulers of old said ``predict_epsilon``, which overrode the default."""
    said = table.get("prediction_type", "epsilon")
    match table.get("predict_epsilon"), said:
        case False, "epsilon" | "sample":
            return "sample"
        case None | True, "epsilon":
            return "epsilon"
        case None, "sample":
            return "sample"
        case None, "v_prediction":
            return "v_prediction"
        case None, _:
            allowed = ", ".join(get_args(PredictionType))
            raise CheckpointError(f"{path}: prediction_type: it must be one of {allowed}, not {_shown(said)}")
    raise CheckpointError(
        f"{path}: predict_epsilon is {_shown(table['predict_epsilon'])} and prediction_type {_shown(said)}, of which "
        "one cannot be; take it away"
    )


def _shown(value: object) -> str:
    """As the file has it, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
