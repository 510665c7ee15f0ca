import pytest
import torch

from models.diffusion.losses import truncated_snr_loss
from models.diffusion.schedule import cosine_schedule


@pytest.mark.parametrize(("max_snr", "most"), [(None, float("inf")), (5.0, 5.0), (1.0, 1.0)])
def test_an_error_weighs_as_much_as_its_signal_to_noise_ratio_within_bounds(max_snr: float | None, most: float) -> None:
    alpha_t, sigma_t = cosine_schedule().at(torch.tensor([0, 100, 300, 500, 600, 1024]))
    x_hat, x_target = torch.full((6, 3, 2, 2), 0.5), torch.full((6, 3, 2, 2), 0.3)
    losses = truncated_snr_loss(x_hat=x_hat, x_target=x_target, alpha_t=alpha_t, sigma_t=sigma_t, max_snr=max_snr)
    expected = [min(max(float(a / s) ** 2, 1.0), most) * 0.04 for a, s in zip(alpha_t, sigma_t, strict=True)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)
