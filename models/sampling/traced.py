"""A network on a CPU as one call of TorchScript, so that its hundreds of operators do not each wait for Python.

A thread that samples gives Python's global lock away at every operator and must get it back after it. Beside threads
that serve requests a batch of a small network so took a hundred times as long; one call takes and gives it once. It
also saves what Python itself costs, a quarter of the time of a single small image. The same operators run in the same
order, so the numbers are the same, bit by bit.

TorchScript never gives back what it compiled, some 25 MB a network. So weights are inputs, and all checkpoints of one
architecture share one function, which is traced with the first of them.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import cast

import torch
from torch import Tensor

from models.sampling.layers import Shifts
from models.sampling.lean import LeanUNet

Predict = Callable[[Tensor, Shifts], Tensor]

_traced: dict[tuple[object, ...], Callable[..., Tensor]] = {}
_tracing = Lock()


@torch.inference_mode()
def trace(network: LeanUNet, z_t: Tensor, shifts: Shifts) -> Predict:
    """``network`` for images of the shape of ``z_t``, in batches of any size, and for any shifts."""
    network(z_t, shifts)  # lays the weights out
    weights = network.weights()
    key = (network.architecture, network.dtype, z_t.shape[1:], tuple(weights))
    with _tracing:
        if key not in _traced:
            _traced[key] = _trace(network, weights, z_t, shifts)
        traced = _traced[key]
    inputs = tuple(weights.values())
    return lambda z_t, shifts: traced(z_t, *shifts, *inputs)


def _trace(network: LeanUNet, weights: dict[str, Tensor], z_t: Tensor, shifts: Shifts) -> Callable[..., Tensor]:
    def call(z_t: Tensor, *rest: Tensor) -> Tensor:
        _put(network, dict(zip(weights, rest[len(shifts) :], strict=True)))
        prediction: Tensor = network(z_t, rest[: len(shifts)])
        return prediction

    with _quiet():
        try:
            # Of a function, since a traced module would keep the weights of this network.
            traced = torch.jit.trace(call, (z_t, *shifts, *weights.values()), check_trace=False)
        finally:
            _put(network, weights)
    return cast("Callable[..., Tensor]", traced)


def _put(network: LeanUNet, weights: dict[str, Tensor]) -> None:
    """As ``torch.func.functional_call`` does, which refuses to be traced."""
    for name, value in weights.items():
        owner, _, leaf = name.rpartition(".")
        module = network.get_submodule(owner)
        (module._parameters if leaf in module._parameters else module._buffers)[leaf] = value  # type: ignore[assignment]


@contextmanager
def _quiet() -> Iterator[None]:
    """TorchScript is kept but no longer developed, which it says; and it warns of shapes, which here never change."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # the latter from torch 2.14 on
            warnings.simplefilter("ignore", category)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield
