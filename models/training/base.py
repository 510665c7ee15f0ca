"""Base training: a network that recovers clean images from noisy ones at every row of the schedule."""

from dataclasses import replace

from torch import Tensor, nn

from models.diffusion.losses import truncated_snr_loss
from models.diffusion.prediction import Denoiser, add_noise
from models.training.batches import Batch
from models.training.parallel import Draws
from models.training.trainer import Loss


def base_loss(denoiser: Denoiser, *, max_snr: float | None = None) -> Loss:
    """The loss of a teacher: truncated-SNR weighted, at rows drawn uniformly (Salimans & Ho 2022, eq. 9).

    Args:
        denoiser: Says how the network that is trained is to be read.
        max_snr: As of ``truncated_snr_loss``.
    """
    schedule = denoiser.schedule

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        x = batch.x
        row = draws.randint(0, len(schedule.alpha), (len(x),))
        eps = draws.randn(x.shape)
        alpha_t, sigma_t = schedule.at(row)
        z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
        x_hat = replace(denoiser, network=network)(z_t, row, batch.labels)
        losses = truncated_snr_loss(x_hat=x_hat, x_target=x, alpha_t=alpha_t, sigma_t=sigma_t, max_snr=max_snr)
        return losses.mean()

    return loss
