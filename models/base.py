"""Base training: a network that recovers clean images from noisy ones at every row of the schedule."""

from torch import Tensor, nn

from core.card import PredictionType
from models.batches import Batch
from models.losses import truncated_snr_loss
from models.parallel import Draws
from models.prediction import Denoiser, add_noise
from models.schedule import Schedule
from models.trainer import Loss


def base_loss(*, schedule: Schedule, prediction_type: PredictionType = "sample") -> Loss:
    """The loss of a teacher: truncated-SNR weighted, at rows drawn uniformly (Salimans & Ho 2022, eq. 9)."""

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        x = batch.x
        row = draws.randint(0, len(schedule.alpha), (len(x),))
        eps = draws.randn(x.shape)
        alpha_t, sigma_t = schedule.at(row)
        z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
        x_hat = Denoiser(network, schedule, prediction_type)(z_t, row)
        return truncated_snr_loss(x_hat=x_hat, x_target=x, alpha_t=alpha_t, sigma_t=sigma_t).mean()

    return loss
