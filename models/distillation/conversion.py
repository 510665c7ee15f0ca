"""Conversion: a student that predicts the clean image learns from a teacher that predicts the noise in it.

Students must predict ``x`` or ``v``: recovering ``x`` from ``eps`` divides by ``alpha``, which is tiny at the noisiest
row, where one-step students live.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.diffusion.losses import truncated_snr_loss
from models.diffusion.prediction import Denoiser, add_noise
from models.training.batches import Batch
from models.training.parallel import Draws
from models.training.trainer import Loss


def conversion_loss(teacher: Denoiser, rows: tuple[int, ...], student: Denoiser) -> Loss:
    """The loss of a round N → N: truncated-SNR weighted, against the teacher's own ``x_hat`` at the same rows.

    That ``x_hat`` is clipped to [-1, 1], as any sampler clips it before it steps: at the noisiest rows a teacher's
    error of 0.01 in ``eps`` is one of 200 in ``x`` (cosine table), and nothing else would be learnt.

    Args:
        teacher: Runs without gradients.
        rows: Rows from clean to noise; all but the first are met evenly.
        student: Says how the network that is trained is to be read.
    """
    schedule = teacher.schedule
    row_table = torch.tensor(rows, device=schedule.alpha.device)

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        x = batch.x
        row = row_table[draws.randint(1, len(rows), (len(x),))]
        eps = draws.randn(x.shape)
        alpha_t, sigma_t = schedule.at(row)
        z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
        with torch.no_grad():
            x_target = teacher(z_t, row, batch.labels).clamp(-1.0, 1.0)
        x_hat = replace(student, network=network)(z_t, row, batch.labels)
        return truncated_snr_loss(x_hat=x_hat, x_target=x_target, alpha_t=alpha_t, sigma_t=sigma_t).mean()

    return loss
