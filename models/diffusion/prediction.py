"""What a network predicts, and the clean image that follows from it."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from core.catalog.card import PredictionType
from models.diffusion.schedule import Schedule


def add_noise(*, x: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """``z_t = alpha_t x + sigma_t eps``; all of one shape (B, C, H, W) or broadcastable to it."""
    return alpha * x + sigma * eps


def x_from_prediction(
    prediction: Tensor, *, z_t: Tensor, alpha_t: Tensor, sigma_t: Tensor, prediction_type: PredictionType
) -> Tensor:
    """The clean image ``x_hat`` that a prediction implies, unclipped.

    ``sample``: ``x_hat`` itself. ``epsilon``: ``(z_t - sigma_t eps_hat) / alpha_t``. ``v_prediction`` (Salimans & Ho
    2022, appendix D; ``v = alpha_t eps - sigma_t x``): ``alpha_t z_t - sigma_t v_hat``.
    """
    match prediction_type:
        case "sample":
            return prediction
        case "epsilon":
            return (z_t - sigma_t * prediction) / alpha_t
        case "v_prediction":
            return alpha_t * z_t - sigma_t * prediction


def eps_from_x(*, x_hat: Tensor, z_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
    """The noise that ``z_t`` holds if its clean image is ``x_hat``: ``(z_t - alpha_t x_hat) / sigma_t``."""
    return (z_t - alpha_t * x_hat) / sigma_t


class Denoise(Protocol):
    """Anything that maps noisy images and their rows to clean images."""

    def __call__(self, z_t: Tensor, row: Tensor, /) -> Tensor:
        """``x_hat`` of (B, C, H, W) images ``z_t`` at rows (B,) int64, unclipped float32."""
        ...


@dataclass(frozen=True)
class Denoiser:
    """A network with all that is needed to read its output as a clean image.

    The network is conditioned on the **row** of the table, never on the index of a sampling step, so that teacher and
    student of any number of steps speak of the same time.

    Attributes:
        network: Called as ``network(z_t, row).sample``, with ``class_labels`` besides if it is class-conditional.
        schedule: The table of rows, on the network's device.
        prediction_type: What the network predicts.
        num_classes: Classes that the network is conditioned on, or None.
    """

    network: nn.Module
    schedule: Schedule
    prediction_type: PredictionType
    num_classes: int | None = None

    def __call__(self, z_t: Tensor, row: Tensor, labels: Tensor | None = None) -> Tensor:
        """``x_hat`` of (B, C, H, W) images ``z_t`` at rows (B,) int64, unclipped float32.

        Args:
            z_t: Noisy images.
            row: Of each image.
            labels: (B,) int64 class of each image; an unconditional network does without and may be given them.
        """
        condition = {} if self.num_classes is None else {"class_labels": labels}
        prediction: Tensor = self.network(z_t, row, **condition).sample
        alpha_t, sigma_t = self.schedule.at(row)
        # The conversion stays in float32 even where the network runs in a lower precision.
        with torch.autocast(z_t.device.type, enabled=False):
            return x_from_prediction(
                prediction.float(),
                z_t=z_t,
                alpha_t=alpha_t,
                sigma_t=sigma_t,
                prediction_type=self.prediction_type,
            )
