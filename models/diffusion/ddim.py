"""DDIM (Song et al. 2021, eq. 12 with eta = 0): one step, a walk of them, and the sampler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalog.card import LastStep
from models.diffusion.prediction import Denoise, eps_from_x
from models.diffusion.schedule import Schedule


def ddim_step(
    *, z_t: Tensor, x_hat: Tensor, alpha_t: Tensor, sigma_t: Tensor, alpha_s: Tensor, sigma_s: Tensor
) -> Tensor:
    """``z_s = alpha_s x_hat + sigma_s eps_hat`` with ``eps_hat`` recomputed from ``z_t`` and ``x_hat``.

    Nothing is clipped here: a sampler clips ``x_hat`` before the step, a distillation target never does.

    Args:
        z_t: (B, C, H, W) images at the noisier row.
        x_hat: (B, C, H, W) clean images predicted from ``z_t``.
        alpha_t: Signal at the noisier row, broadcastable to ``z_t``; likewise the rest.
        sigma_t: Noise at the noisier row.
        alpha_s: Signal at the cleaner row.
        sigma_s: Noise at the cleaner row.
    """
    return alpha_s * x_hat + sigma_s * eps_from_x(x_hat=x_hat, z_t=z_t, alpha_t=alpha_t, sigma_t=sigma_t)


@dataclass(frozen=True)
class Step:
    """One step of a walk along the rows; what it needs is (1, 1, 1, 1) float32 on the device of the images.

    Attributes:
        row: The noisier row, that the network is conditioned on.
        last: Whether it ends the walk.
    """

    row: int
    alpha_t: Tensor
    sigma_t: Tensor
    alpha_s: Tensor
    sigma_s: Tensor
    last: bool


def ddim_steps(schedule: Schedule, rows: Sequence[int]) -> list[Step]:
    """The steps from the last of ascending ``rows`` to the first."""
    table = torch.tensor(rows, device=schedule.alpha.device)
    alpha, sigma = (values.split(1) for values in schedule.at(table))
    return [
        Step(rows[k], alpha[k], sigma[k], alpha[k - 1], sigma[k - 1], last=k == 1) for k in range(len(rows) - 1, 0, -1)
    ]


def ddim_walk(
    predict_x: Callable[[Tensor, Step], Tensor], *, steps: Sequence[Step], noise: Tensor, last_step: LastStep
) -> Tensor:
    """Sample images by DDIM along ``steps``; the rest as of ``ddim_sample``.

    Args:
        predict_x: Maps ``z_t`` and the step to ``x_hat``.
        steps: As of ``ddim_steps``.
        noise: The images at the last row.
        last_step: How the walk ends.
    """
    z_t = noise
    for step in steps:
        x_hat = predict_x(z_t, step).clamp(-1.0, 1.0)
        if step.last and last_step == "x_hat":
            return x_hat
        z_t = ddim_step(
            z_t=z_t,
            x_hat=x_hat,
            alpha_t=step.alpha_t,
            sigma_t=step.sigma_t,
            alpha_s=step.alpha_s,
            sigma_s=step.sigma_s,
        )
    return z_t.clamp(-1.0, 1.0)


def ddim_sample(
    denoise: Denoise, *, schedule: Schedule, rows: Sequence[int], noise: Tensor, last_step: LastStep = "row_0"
) -> Tensor:
    """Sample images by DDIM along ``rows``.

    Args:
        denoise: Maps ``(z_t, row)`` to ``x_hat``.
        schedule: The table that ``rows`` index, on the device of ``noise``.
        rows: Ascending rows from clean to noise, one more than there are steps.
        noise: (B, C, H, W) float32 standard normal, the images at the last row.
        last_step: ``row_0`` applies the first row like any other and clips the outcome, as the CFD authors do;
            ``x_hat`` returns the last prediction itself (Salimans & Ho 2022).

    Returns:
        (B, C, H, W) float32 in [-1, 1].
    """

    def predict_x(z_t: Tensor, step: Step) -> Tensor:
        return denoise(z_t, torch.full((len(z_t),), step.row, device=z_t.device))

    return ddim_walk(predict_x, steps=ddim_steps(schedule, rows), noise=noise, last_step=last_step)
