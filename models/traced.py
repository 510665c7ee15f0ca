"""A network on a CPU as one call of TorchScript, so that its hundreds of operators do not each wait for Python.

A thread that samples gives Python's global lock away at every operator and must get it back after it. Beside threads
that serve requests a batch of a small network so took a hundred times as long; one call takes and gives it once. It
also saves what Python itself costs, a quarter of the time of a single small image. The same operators run in the same
order, so the numbers are the same, bit by bit.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from models.lean import LeanUNet, PackedConv, Shifts

Predict = Callable[[Tensor, Shifts], Tensor]


@torch.inference_mode()
def trace(network: LeanUNet, z_t: Tensor, shifts: Shifts) -> Predict:
    """``network`` for images of the shape of ``z_t``, in batches of any size, and for any shifts."""
    network(z_t, shifts)  # lays the weights out
    convs = [module for module in network.modules() if isinstance(module, PackedConv)]
    packed = [conv.packed for conv in convs]
    with _quiet():
        traced = torch.jit.trace(_Flat(network, convs), (z_t, *shifts, *packed), check_trace=False)
    for conv, weight in zip(convs, packed, strict=True):
        conv.packed = weight
    return lambda z_t, shifts: cast("Tensor", traced(z_t, *shifts, *packed))


class _Flat(nn.Module):
    """Takes the weights of convolutions as inputs, since the layout of oneDNN cannot be a constant of TorchScript."""

    def __init__(self, network: LeanUNet, convs: list[PackedConv]) -> None:
        super().__init__()
        self.network, self._convs = network, convs

    def forward(self, z_t: Tensor, *rest: Tensor) -> Tensor:
        count = len(rest) - len(self._convs)
        for conv, weight in zip(self._convs, rest[count:], strict=True):
            conv.packed = weight
        prediction: Tensor = self.network(z_t, rest[:count])
        return prediction


@contextmanager
def _quiet() -> Iterator[None]:
    """TorchScript is kept but no longer developed, which it says; and it warns of shapes, which here never change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield
