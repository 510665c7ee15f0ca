"""Adam (Kingma & Ba 2014), by PyTorch's fused kernel, without its class: that imports a compiler no step asks for.

Importing it is a third of the time a run takes to start (decision 75).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8
GROUP = {
    "lr": 0.0,
    "betas": BETAS,
    "eps": EPSILON,
    "weight_decay": 0,
    "amsgrad": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": True,
    "decoupled_weight_decay": False,
}
"""What PyTorch's class writes of its options, so that it can go on from our states as we from its."""


class Adam:
    """The moments of some parameters, and the steps by them.

    Bit for bit ``torch.optim.Adam(parameters, fused=True)``, and states of the one are read by the other.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        # The kernel pairs elements by their places in memory, so that moments must lie there as the weights do.
        self._means, self._squares = ([torch.zeros_like(each) for each in self.parameters] for _ in range(2))
        self._steps = [torch.zeros((), device=each.device) for each in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float, *, weight_decay: float = 0.0, hold: Tensor | None = None) -> None:
        """Change those parameters that have a gradient; none where ``hold``, one float32 on their device, is 1.

        Weights fall by ``learning_rate * weight_decay`` of themselves before (Loshchilov & Hutter 2019, algorithm 2).
        """
        moved = [index for index, each in enumerate(self.parameters) if each.grad is not None]
        steps = [self._steps[index] for index in moved]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [self.parameters[index] for index in moved],
            [self.parameters[index].grad for index in moved],  # type: ignore[misc]  # those that have one
            [self._means[index] for index in moved],
            [self._squares[index] for index in moved],
            [],
            steps,
            lr=learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            found_inf=hold,
        )
        if hold is not None:
            torch._foreach_sub_(steps, [hold] * len(steps))

    def zero_grad(self) -> None:
        """Let go of the gradients and their memory."""
        for each in self.parameters:
            each.grad = None

    def state_dict(self) -> dict[str, Any]:
        """As PyTorch's: steps and moments by the parameters' places, of those that were moved at all."""
        moments = zip(self._steps, self._means, self._squares, strict=True)
        named = (dict(zip(("step", "exp_avg", "exp_avg_sq"), each, strict=True)) for each in moments)
        return {
            "state": {index: each for index, each in enumerate(named) if each["step"] > 0},
            "param_groups": [{**GROUP, "params": list(range(len(self.parameters)))}],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``, of this class or PyTorch's, whatever the layout in memory there.

        Raises:
            KeyError: A moment is missing, or of no parameter.
        """
        if unknown := saved["state"].keys() - set(range(len(self.parameters))):
            raise KeyError(f"moments of no parameter: {sorted(unknown)}")
        for index, moments in saved["state"].items():
            self._steps[index].copy_(moments["step"])
            self._means[index].copy_(moments["exp_avg"])
            self._squares[index].copy_(moments["exp_avg_sq"])
