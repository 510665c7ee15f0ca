"""Whether a run has diverged, which a GPU tells an iteration late, so that the host never waits for it."""

import torch
from torch import Tensor

from models.training.companion import Companion

MOST_LOSS = 1e6
"""A loss beyond this has exploded: fresh networks begin below 100."""


def reads_late(device: torch.device, companion: Companion | None) -> bool:
    """Whether the host may be an iteration ahead of a GPU. What a companion keeps could not be held back there."""
    return device.type == "cuda" and companion is None


class Soundness:
    """Looks at loss and gradient norm of each iteration.

    Attributes:
        late: Whether an iteration is looked at when the next has been sent to the device. The step of an unsound one
            must then be held back there, by what ``note`` gives.
    """

    def __init__(self, device: torch.device, *, late: bool) -> None:
        """Nothing was noted yet."""
        self.late = late
        self._noted: Tensor | None = None
        self._there: torch.cuda.Event | None = None
        self._is_cuda = device.type == "cuda"

    def note(self, value: Tensor, norm: Tensor) -> Tensor:
        """Take down loss and norm, scalars on the device. Gives 1 if they are unsound, else 0, float32 there."""
        unsound = (~(value + norm).isfinite() | (value > MOST_LOSS)).float()
        figures = torch.stack((unsound, value.float(), norm.float()))
        if self._is_cuda:
            self._noted = torch.empty(3, pin_memory=True)
            self._noted.copy_(figures, non_blocking=True)
            self._there = torch.cuda.Event()
            self._there.record()
        else:
            self._noted = figures
        return unsound

    def flaw(self) -> str:
        """Loss and norm of the iteration noted last, in words, if they are unsound; waits until the device has them."""
        if self._noted is None:
            return ""
        if self._there is not None:
            self._there.synchronize()
        unsound, value, norm = self._noted.tolist()
        return f"loss {value:g} and gradient norm {norm:g}" if unsound else ""
