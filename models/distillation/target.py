"""The distillation target: where one student step must land so that it equals several teacher steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.solvers import Solver
from models.diffusion.prediction import Denoise, add_noise
from models.diffusion.schedule import Schedule
from models.distillation.solvers import solve


@torch.no_grad()
def walked_target(
    teacher: Denoise, *, schedule: Schedule, z_t: Tensor, rows: Tensor, solver: Solver = "ddim"
) -> Tensor:
    """``x_target``, the clean image that takes a student in one step to where the teacher comes by several.

    For two steps of DDIM, from row t by m to s, Salimans & Ho 2022, algorithm 2, state it as ``(z_s - (sigma_s/sigma_t)
    z_t) / (alpha_s - (sigma_s/sigma_t) alpha_t)``, in which both sides cancel at the noisy end of long chains. Written
    in the teacher's predictions they do not: ``x_target = w x_hat_t + (1 - w) x_hat_m`` with ``w = (r_m - r_t) / (r_s -
    r_t)``, ``r = alpha / sigma``, the weights taken from the float64 table. In general it is ``sum_i r_i G_i / (r_s -
    r_t)``, ``G_i`` what the solver adds on its way to the i-th row. Nothing is clipped.

    Args:
        teacher: Maps ``(z, row)`` to ``x_hat``; runs without gradients.
        schedule: The table, on the device of ``z_t``.
        z_t: (B, C, H, W) float32 noisy images.
        rows: (M + 1, B) int64, falling, from those of ``z_t`` to those to land on.
        solver: What the teacher walks by.

    Returns:
        (B, C, H, W) float32 without gradient.
    """
    ratio = [schedule.ratio(row) for row in rows]
    target = torch.zeros_like(z_t)
    for there, (_, slope) in zip(
        ratio[1:], solve(teacher, schedule=schedule, rows=rows, z=z_t, solver=solver), strict=True
    ):
        target += (there / (ratio[-1] - ratio[0])).float() * slope
    return target


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
    teacher: Denoise, *, schedule: Schedule, rows: Tensor, x: Tensor, eps: Tensor, step: Tensor, solver: Solver = "ddim"
) -> TargetBatch:
    """Noisy images and targets of one iteration of a round N → N/2.

    Args:
        teacher: Maps ``(z, row)`` to ``x_hat``.
        schedule: The table, on the device of ``x``.
        rows: (N + 1,) int64, the teacher's rows from clean to noise.
        x: (B, C, H, W) float32 clean images in [-1, 1].
        eps: Noise of the same shape.
        step: (B,) int64, the student's step index of each image, in 1 … N/2.
        solver: What the teacher walks by; ``dpm++`` takes four steps, which needs rows between those of DDIM's two.
    """
    between = torch.stack([rows[2 * step], rows[2 * step - 1], rows[2 * step - 2]])
    row_t = between[0]
    alpha_t, sigma_t = schedule.at(row_t)
    z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
    if solver == "dpm++":
        halves = (between[:-1] + between[1:]) // 2
        between = torch.stack([between[0], halves[0], between[1], halves[1], between[2]])
    x_target = walked_target(teacher, schedule=schedule, z_t=z_t, rows=between, solver=solver)
    return TargetBatch(z_t=z_t, row_t=row_t, alpha_t=alpha_t, sigma_t=sigma_t, x_target=x_target)
