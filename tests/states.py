"""What is compared between a run that was cut off and one that was not."""

from pathlib import Path
from typing import Any

import torch


def assert_same_states(one: Path, other: Path) -> dict[str, Any]:
    """Fail unless two saved states are equal bit by bit; gives the first."""
    ours, theirs = torch.load(one), torch.load(other)
    assert ours["iteration"] == theirs["iteration"]
    for part in ("network", "ema"):
        assert ours[part].keys() == theirs[part].keys()
        assert all(torch.equal(value, theirs[part][name]) for name, value in ours[part].items()), part
    for index, moments in ours["optimizer"]["state"].items():
        assert all(torch.equal(value, theirs["optimizer"]["state"][index][key]) for key, value in moments.items())
    assert ours["optimizer"]["param_groups"] == theirs["optimizer"]["param_groups"]
    return dict(ours)
