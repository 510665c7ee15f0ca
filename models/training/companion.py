"""What a method trains and keeps beside the student: further networks, an optimizer of their own, memories."""

import torch
from torch import nn


class Companion(nn.Module):
    """Lives as long as a round. Its parameters and buffers are saved with the round, and resumed to the same bits.

    It must be the same in every process: drawn from the seed, and changed only by what all processes share.

    Attributes:
        optimizer: Of its own parameters, if it has any. It steps after the student's; its gradients are averaged over
            processes as the student's are, and never clipped.
    """

    optimizer: torch.optim.Optimizer | None = None

    def commit(self) -> None:
        """Keep what the last iteration brought. Called once its steps are taken, so never for one that diverged."""
