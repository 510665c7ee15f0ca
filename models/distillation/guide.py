"""Autoguidance (Karras et al. 2024, arXiv 2406.02507): a teacher is led away from what a worse one of its kind makes.

What both get wrong the worse one gets more wrong, so that the way from it to the better one leads on to better images:
clearer ones, of the class that is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from core.catalog.card import Card
from core.errors import InvalidRequest
from core.methods.guide import guide_misfit
from models.checkpoints.checkpoint import load_denoiser
from models.diffusion.network import Prediction
from models.distillation.frozen import frozen
from models.training.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Guide:
    """The worse one.

    Attributes:
        network: On the device.
        guidance: How far to go, in the distance of its prediction from the teacher's: 1 is the teacher's own.
        facts: For the card of the student that learns from both.
    """

    network: nn.Module
    guidance: float
    facts: Mapping[str, object]


class Guided(nn.Module):
    """A teacher with its guide, called as the teacher is: ``guide + guidance (teacher - guide)``, eq. 3 of the paper.

    The clean image is linear in whatever networks predict, so that it is guided as the prediction is.
    """

    def __init__(self, teacher: nn.Module, guide: Guide, execution: Execution) -> None:
        """The teacher runs without gradients already."""
        super().__init__()
        self.teacher, self.guide, self.guidance = teacher, frozen(guide.network, execution), guide.guidance

    def forward(self, z_t: Tensor, row: Tensor, class_labels: Tensor | None = None) -> Prediction:  # noqa: D102
        better, worse = (network(z_t, row, class_labels).sample.float() for network in (self.teacher, self.guide))
        return Prediction(worse.lerp(better, self.guidance))


def load_guide(folder: Path, name: str, *, teacher: Card, guidance: float, device: torch.device) -> Guide:
    """The guide of a teacher with this card, known by a name.

    Raises:
        InvalidRequest: It makes other images, of other classes, or predicts otherwise; or one of both was distilled.
        CheckpointError: It is damaged.
    """
    denoiser, card = load_denoiser(folder, device)
    if misfit := guide_misfit(name, card, teacher):
        raise InvalidRequest(misfit, field="guide")
    facts = {"guide": name, "guide_sha256": card.sha256, "guidance": guidance}
    return Guide(network=denoiser.network, guidance=guidance, facts=facts)
