"""Pixel losses: base training of a teacher, and progressive distillation."""

from torch import Tensor


def truncated_snr_loss(
    *, x_hat: Tensor, x_target: Tensor, alpha_t: Tensor, sigma_t: Tensor, max_snr: float | None = None
) -> Tensor:
    """``max(|x_hat - x|^2, |eps_hat - eps|^2)`` of each image, means over pixels (Salimans & Ho 2022, eq. 9).

    At one ``z_t`` the two errors differ by the factor SNR = ``alpha_t^2 / sigma_t^2``, so this is ``max(1, SNR)
    |x_hat - x|^2``: truncated-SNR weighting.

    Args:
        x_hat: (B, C, H, W) predicted clean images, float32.
        x_target: (B, C, H, W) true clean images, or the distillation target.
        alpha_t: (B, 1, 1, 1) signal.
        sigma_t: (B, 1, 1, 1) noise.
        max_snr: At most so large is the SNR taken to be, at least 1: the few images with next to no noise else outweigh
            all others, by up to 24,900 on the paper's table (Hang et al. 2023, section 3.3).

    Returns:
        (B,) losses.
    """
    snr = (alpha_t / sigma_t).square().flatten()
    return snr.clamp(min=1.0, max=max_snr) * (x_hat - x_target).square().flatten(1).mean(1)
