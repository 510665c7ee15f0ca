"""DDIM (Song et al. 2021, eq. 12 with eta = 0): one step, and the sampler."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.card import LastStep
from models.prediction import Denoise, eps_from_x
from models.schedule import Schedule


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
    z_t = noise
    for t, s in zip(rows[:0:-1], rows[-2::-1], strict=True):
        row = torch.full((len(z_t),), t, device=z_t.device)
        x_hat = denoise(z_t, row).clamp(-1.0, 1.0)
        if s == rows[0] and last_step == "x_hat":
            return x_hat
        alpha_t, sigma_t = schedule.at(row)
        alpha_s, sigma_s = schedule.at(torch.full_like(row, s))
        z_t = ddim_step(z_t=z_t, x_hat=x_hat, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_s, sigma_s=sigma_s)
    return z_t.clamp(-1.0, 1.0)
