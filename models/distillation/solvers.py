"""How a teacher walks from row to row: DDIM, or DPM-Solver++ (Lu et al. 2022), which learns from the calls before.

Both are one formula. From row a to the next, b, with ``n = sigma / alpha``, ``rho = n_b / n_a`` and ``D_i`` the clean
image predicted at the i-th row,

    ``z_b = (sigma_b / sigma_a) z_a + alpha_b G``

where ``G`` is a weighted sum of the predictions: ``(1 - rho) D_i`` of first order, which is DDIM, and up to two earlier
ones beside it of second and third. Nothing is clipped.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.methods.solvers import Solver
from models.diffusion.prediction import Denoise
from models.diffusion.schedule import Schedule


@torch.no_grad()
def solve(
    denoise: Denoise, *, schedule: Schedule, rows: Tensor, z: Tensor, solver: Solver
) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk along ``rows``. DPM-Solver++ is the multistep one of data prediction, of order 3 and lower at both ends.

    Args:
        denoise: Maps ``(z, row)`` to ``x_hat``.
        schedule: The table, on the device of ``z``.
        rows: (M + 1, B) int64, falling; the first has those of ``z``.
        z: (B, C, H, W) float32 noisy images.
        solver: Which.

    Yields:
        M times the images (B, C, H, W) at the next row, and the ``G`` that took them there, both float32.
    """
    ratio = torch.stack([schedule.ratio(row) for row in rows])  # alpha / sigma, float64
    past: list[Tensor] = []
    for i in range(len(rows) - 1):
        past = [denoise(z, rows[i]), *past[:2]]
        order = 1 if solver == "ddim" else min(3, i + 1, len(rows) - 1 - i)
        weights = _weights([ratio[i + 1 - back] for back in range(order + 1)])
        slope = sum((weight.float() * x_hat for weight, x_hat in zip(weights, past, strict=False)), torch.zeros(()))
        _, sigma_a = schedule.at(rows[i])
        alpha_b, sigma_b = schedule.at(rows[i + 1])
        z = (sigma_b / sigma_a) * z + alpha_b * slope
        yield z, slope


def _weights(ratio: list[Tensor]) -> list[Tensor]:
    """Of the predictions in G, latest first, float64 as ``alpha / sigma`` is.

    Args:
        ratio: Of the row to land on, of the one walked from, and of those before it, as many as the order has.
    """
    rho = ratio[1] / ratio[0]
    phi1 = rho - 1
    if len(ratio) == 2:
        return [-phi1]
    h = -rho.log()
    r0 = (ratio[1] / ratio[2]).log() / h
    if len(ratio) == 3:
        back = phi1 / (2 * r0)
        return [-phi1 - back, back]
    r1 = (ratio[2] / ratio[3]).log() / h
    phi2 = phi1 / h + 1
    phi3 = phi2 / h - 0.5
    # Of the differences of predictions, (D_i - D_i-1) / r0 and (D_i-1 - D_i-2) / r1.
    late = phi2 * (1 + r0 / (r0 + r1)) - phi3 / (r0 + r1)
    early = phi3 / (r0 + r1) - phi2 * r0 / (r0 + r1)
    return [-phi1 + late / r0, early / r1 - late / r0, -early / r1]
