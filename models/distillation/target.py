"""The distillation target: where one student step must land so that it equals two teacher steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffusion.ddim import ddim_step
from models.diffusion.prediction import Denoise, add_noise
from models.diffusion.schedule import Schedule


@torch.no_grad()
def two_step_target(
    teacher: Denoise, *, schedule: Schedule, z_t: Tensor, row_t: Tensor, row_m: Tensor, row_s: Tensor
) -> Tensor:
    """``x_target``, the clean image that takes a student from row t to row s in the one step the teacher needs two for.

    Salimans & Ho 2022, algorithm 2, state it as ``(z_s - (sigma_s/sigma_t) z_t) / (alpha_s - (sigma_s/sigma_t)
    alpha_t)``, in which both sides cancel at the noisy end of long chains. Written in the teacher's two predictions
    they do not: ``x_target = w x_hat_t + (1 - w) x_hat_m`` with ``w = (r_m - r_t) / (r_s - r_t)``, ``r = alpha /
    sigma``, the weights taken from the float64 table. Nothing is clipped.

    Args:
        teacher: Maps ``(z, row)`` to ``x_hat``; runs without gradients.
        schedule: The table, on the device of ``z_t``.
        z_t: (B, C, H, W) float32 noisy images.
        row_t: (B,) int64, row of each ``z_t``.
        row_m: (B,) int64, the teacher's row between.
        row_s: (B,) int64, the row to land on; ``row_s < row_m < row_t``.

    Returns:
        (B, C, H, W) float32 without gradient.
    """
    alpha_t, sigma_t = schedule.at(row_t)
    alpha_m, sigma_m = schedule.at(row_m)
    x_hat_t = teacher(z_t, row_t)
    z_m = ddim_step(z_t=z_t, x_hat=x_hat_t, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_m, sigma_s=sigma_m)
    x_hat_m = teacher(z_m, row_m)
    r_t, r_m, r_s = (schedule.ratio(row) for row in (row_t, row_m, row_s))
    weight = ((r_m - r_t) / (r_s - r_t)).float()
    return weight * x_hat_t + (1.0 - weight) * x_hat_m


@dataclass(frozen=True)
class TargetBatch:
    """What a student is given and what it should answer.

    Attributes:
        z_t: (B, C, H, W) float32 noisy images.
        row_t: (B,) int64 rows of the table.
        alpha_t: (B, 1, 1, 1) signal at ``row_t``.
        sigma_t: (B, 1, 1, 1) noise at ``row_t``.
        x_target: (B, C, H, W) float32 clean images to predict, without gradient.
    """

    z_t: Tensor
    row_t: Tensor
    alpha_t: Tensor
    sigma_t: Tensor
    x_target: Tensor


def target_batch(
    teacher: Denoise, *, schedule: Schedule, rows: Tensor, x: Tensor, eps: Tensor, step: Tensor
) -> TargetBatch:
    """Noisy images and targets of one iteration of a round N → N/2.

    Args:
        teacher: Maps ``(z, row)`` to ``x_hat``.
        schedule: The table, on the device of ``x``.
        rows: (N + 1,) int64, the teacher's rows from clean to noise.
        x: (B, C, H, W) float32 clean images in [-1, 1].
        eps: Noise of the same shape.
        step: (B,) int64, the student's step index of each image, in 1 … N/2.
    """
    row_t, row_m, row_s = rows[2 * step], rows[2 * step - 1], rows[2 * step - 2]
    alpha_t, sigma_t = schedule.at(row_t)
    z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
    x_target = two_step_target(teacher, schedule=schedule, z_t=z_t, row_t=row_t, row_m=row_m, row_s=row_s)
    return TargetBatch(z_t=z_t, row_t=row_t, alpha_t=alpha_t, sigma_t=sigma_t, x_target=x_target)
