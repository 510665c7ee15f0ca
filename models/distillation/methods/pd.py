"""Progressive distillation (Salimans & Ho 2022, algorithm 2): match the teacher's two steps pixel by pixel."""

from torch import Tensor

from core.methods.solvers import SolverOptions
from models.diffusion.losses import truncated_snr_loss
from models.distillation.halving import by_halving
from models.distillation.method import Built, Setup
from models.distillation.target import TargetBatch


def pd_loss(x_hat: Tensor, batch: TargetBatch) -> Tensor:
    """Mean over images of the truncated-SNR loss of a student's ``x_hat`` (B, C, H, W) against the target; a scalar."""
    return truncated_snr_loss(x_hat=x_hat, x_target=batch.x_target, alpha_t=batch.alpha_t, sigma_t=batch.sigma_t).mean()


def build(setup: Setup) -> Built:
    """As of ``models.distillation.method.Build``."""
    assert isinstance(setup.options, SolverOptions)
    return Built(begin=by_halving(pd_loss, setup.options.solver or "ddim"), facts=setup.options.of_teacher)
