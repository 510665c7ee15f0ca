"""What a run that goes on may change, and what is remembered of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

Rates = list[tuple[int, float]]
"""Learning rates that a run went by before, each with the iteration until which it did."""


def refusal(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why a run cannot go on from another than it was, in hyper-parameters or facts, if it cannot.

    A lower learning rate alone is no reason: it is what helps a run that diverged.
    """
    other = [name for name in {**before, **now} if now.get(name) != before.get(name)]
    if not other or (other == ["learning_rate"] and now["learning_rate"] < before["learning_rate"]):
        return None
    named = ", ".join(f"{name} {before.get(name)} there and {now.get(name)} here" for name in other)
    return f"left by a run with other hyper-parameters: {named}; finish that or delete the file"


def plain(facts: Mapping[str, object]) -> dict[str, Any]:
    """Facts as they come back from a file."""
    read: dict[str, Any] = json.loads(json.dumps(facts))
    return read


def earlier_rates(saved: Mapping[str, Any], learning_rate: float) -> Rates:
    """The rates of a saved state, with its own if another is gone on by."""
    known: Rates = [(int(until), float(rate)) for until, rate in saved.get("earlier_rates", [])]
    own = float(saved["config"]["learning_rate"])
    until = int(saved["iteration"])
    return known if own == learning_rate or not until else [*known, (until, own)]


def facts_of(state_path: Path) -> dict[str, object]:
    """For the card of a run that is done: its earlier learning rates, if it had any."""
    rates = torch.load(state_path, map_location="cpu", weights_only=True, mmap=True).get("earlier_rates")
    return {"earlier_learning_rates": [list(each) for each in rates]} if rates else {}
