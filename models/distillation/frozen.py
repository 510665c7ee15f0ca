"""A teacher as it is to be called: without gradients, and on a CPU without all else that only training needs."""

import torch
from torch import Tensor, nn

from models.diffusion.network import Prediction, UNet
from models.sampling.lean import LeanUNet
from models.training.execution import Execution


class _Lean(nn.Module):
    """A network that samples, called as one that trains."""

    def __init__(self, network: UNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = LeanUNet(network.config, network.state_dict(), dtype=dtype)

    def forward(self, z_t: Tensor, row: Tensor, class_labels: Tensor | None = None) -> Prediction:
        return Prediction(self.network(z_t, self.network.shifts_at(row, class_labels)))


def frozen(network: nn.Module, execution: Execution) -> nn.Module:
    """A copy of a network of ours that learns nothing, or a view of any other, called as the network is.

    What it predicts is the same up to rounding. On a GPU training has the network compiled, which is faster still.
    """
    network.requires_grad_(False)  # so that what is compiled of it keeps nothing for gradients
    device = next(network.parameters()).device
    if type(network) is not UNet or device.type != "cpu" or execution.compile:
        return execution.view(network)
    return _Lean(network, torch.bfloat16 if execution.precision_on(device) == "bf16" else torch.float32)
