"""Muon: hidden matrices move by their momentum made orthogonal, and all else by Adam.

Of Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon). Sizes of steps are those of Liu et al. 2025 (arXiv
2502.16982, eq. 4), so that the learning rates of Adam serve.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.training.optimizer import Optimizer
from models.training.adam import Adam

MOMENTUM = 0.95
LEAST_SIDE = 32
"""Rows and columns of a hidden matrix, at least. A picture's channels, and classes, are fewer."""
STEP_RMS = 0.2
"""What Adam's steps have, for a learning rate of 1."""
LEAST_SHARE = 1e-12
"""Of a matrix's norm: what is smaller counts as zero. No step would show it, but the momentum of a channel that died
fades into subnormal numbers, by which a CPU multiplies up to twenty times slower."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon:
    """The momenta of a network's hidden matrices, Adam's moments of all else, and the steps by them."""

    def __init__(self, network: nn.Module) -> None:
        self.matrices = hidden_matrices(network)
        ours = {id(each) for each in self.matrices}
        self.adam = Adam(each for each in network.parameters() if id(each) not in ours)
        self._momenta = [torch.zeros_like(each) for each in self.matrices]

    @torch.no_grad()
    def step(self, learning_rate: float, *, weight_decay: float = 0.0, hold: Tensor | None = None) -> None:
        """As of ``Adam``, of which the arguments are."""
        directions = defaultdict(list)
        for matrix, momentum in zip(self.matrices, self._momenta, strict=True):
            if matrix.grad is None:
                continue
            moved = momentum.lerp(matrix.grad, 1 - MOMENTUM)
            direction = matrix.grad.lerp(moved, MOMENTUM).flatten(1)
            momentum.copy_(moved if hold is None else torch.where(hold > 0, momentum, moved))
            directions[direction.shape].append((matrix, direction))
        for shape, together in directions.items():
            size = learning_rate * STEP_RMS * max(shape) ** 0.5
            for (matrix, _), step in zip(
                together, orthogonal(torch.stack([each for _, each in together])), strict=True
            ):
                change = matrix * (-learning_rate * weight_decay) - size * step.view_as(matrix)
                matrix.add_(change if hold is None else torch.where(hold > 0, 0.0, change))
        self.adam.step(learning_rate, weight_decay=weight_decay, hold=hold)

    def zero_grad(self) -> None:
        """Let go of the gradients and their memory."""
        for each in self.matrices:
            each.grad = None
        self.adam.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The momenta in the network's order, and Adam's moments."""
        return {"momenta": list(self._momenta), "adam": self.adam.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            KeyError: A moment is missing, or of no parameter.
            ValueError: So is a momentum.
        """
        for momentum, kept in zip(self._momenta, saved["momenta"], strict=True):
            momentum.copy_(kept)
        self.adam.load_state_dict(saved["adam"])


def optimizer_of(network: nn.Module, name: Optimizer) -> Adam | Muon:
    """A new one, of all parameters."""
    return Muon(network) if name == "muon" else Adam(network.parameters())


def hidden_matrices(network: nn.Module) -> list[Tensor]:
    """Weights of convolutions and linear layers that are wide on both sides, in the network's order."""
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return [layer.weight for layer in layers if min(layer.weight.shape[:2]) >= LEAST_SIDE]


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, rows, columns) with the singular vectors of the given ones and singular values of about 1, 0.7 to 1.2.

    By Newton and Schulz; float32 on a CPU, whatever that multiplies fast, and bfloat16 on a GPU.
    """
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = functional.hardshrink(x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7), LEAST_SHARE)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)
