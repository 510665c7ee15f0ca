"""The noise schedule: how much signal and noise each row of the table holds, and which rows a sampler visits."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from core.catalog.card import Card, NoiseSchedule

COSINE_ROWS = 1025
"""Rows 0 (almost clean) … 1024 (almost pure noise); one more than the 1024 steps between them."""

MAX_BETA = 0.999


@dataclass(frozen=True)
class Schedule:
    """A table of ``alpha`` and ``sigma`` by row, with ``z_t = alpha_t x + sigma_t eps``.

    Attributes:
        alpha: (rows,) float64, falling with the row.
        sigma: (rows,) float64, ``sqrt(1 - alpha^2)``.
    """

    alpha: Tensor
    sigma: Tensor

    @classmethod
    def from_betas(cls, betas: Tensor) -> Self:
        """The schedule with ``alpha_i^2 = prod_{j<=i} (1 - beta_j)``; ``betas`` is (rows,) float64 in [0, 1)."""
        alpha_bar = torch.cumprod(1.0 - betas, dim=0)
        return cls(alpha=alpha_bar.sqrt(), sigma=(1.0 - alpha_bar).sqrt())

    def to(self, device: torch.device | str) -> Self:
        """The same table on another device."""
        return type(self)(alpha=self.alpha.to(device), sigma=self.sigma.to(device))

    def at(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """``alpha`` and ``sigma`` of each image's ``row`` (B,) int64, as (B, 1, 1, 1) float32."""
        return self.alpha[row].float().view(-1, 1, 1, 1), self.sigma[row].float().view(-1, 1, 1, 1)

    def ratio(self, row: Tensor) -> Tensor:
        """``alpha / sigma`` of each image's ``row`` (B,) int64, as (B, 1, 1, 1) **float64**."""
        return (self.alpha[row] / self.sigma[row]).view(-1, 1, 1, 1)


def cosine_schedule(num_rows: int = COSINE_ROWS) -> Schedule:
    """Cosine schedule (Nichol & Dhariwal 2021, eq. 17) by way of betas capped at 0.999, in float64.

    ``f(u) = cos^2((u + 0.008) / 1.008 * pi / 2)``, ``beta_i = min(1 - f((i+1)/rows) / f(i/rows), 0.999)``.
    """

    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - f((i + 1) / num_rows) / f(i / num_rows), MAX_BETA) for i in range(num_rows)]
    return Schedule.from_betas(torch.tensor(betas, dtype=torch.float64))


def build_schedule(table: NoiseSchedule) -> Schedule:
    """The table that a card names: the cosine one, or a linear one of DDPM's kind (Ho et al. 2020), in float64.

    ``linear`` betas run evenly from ``beta_start`` to ``beta_end``; of ``scaled_linear`` betas the square roots do.
    """
    if table.beta_schedule == "squaredcos_cap_v2":
        return cosine_schedule(table.num_rows)
    assert table.beta_start is not None
    assert table.beta_end is not None
    power = 2 if table.beta_schedule == "scaled_linear" else 1
    ends = (table.beta_start ** (1 / power), table.beta_end ** (1 / power))
    return Schedule.from_betas(torch.linspace(*ends, table.num_rows, dtype=torch.float64) ** power)


def step_rows(num_steps: int, num_rows: int = COSINE_ROWS) -> tuple[int, ...]:
    """A sampler's ``num_steps + 1`` rows, clean to noise: ``round(linspace(0, num_rows - 1, num_steps + 1))``.

    On the cosine table with ``num_steps`` a power of two this is ``k * 1024 / num_steps``.

    Raises:
        ValueError: ``num_steps`` is not in 1 … ``num_rows - 1``.
    """
    if not 1 <= num_steps < num_rows:
        raise ValueError(f"num_steps must be in 1…{num_rows - 1}, got {num_steps}")
    return tuple(round(k * (num_rows - 1) / num_steps) for k in range(num_steps + 1))


def full_rows(num_rows: int) -> tuple[int, ...]:
    """Rows of a teacher that knows all of a table: of the largest power of two steps, which halves down to one.

    1024 steps on the paper's table of 1025 rows, 512 on one of 1000.
    """
    return step_rows(2 ** ((num_rows - 1).bit_length() - 1), num_rows)


def subgrid(rows: tuple[int, ...], num_steps: int) -> tuple[int, ...]:
    """Every ``len(rows) // num_steps``-th row, so that a model trained for many steps is sampled in fewer.

    Raises:
        ValueError: ``num_steps`` does not divide the grid's own number of steps.
    """
    own = len(rows) - 1
    if num_steps < 1 or own % num_steps:
        raise ValueError(f"a grid of {own} steps can be sampled in a divisor of {own} steps, not in {num_steps}")
    return rows[:: own // num_steps]


def rows_of(card: Card, num_steps: int) -> tuple[int, ...]:
    """The rows, clean to noise, along which a checkpoint is walked in ``num_steps``.

    Raises:
        ValueError: It cannot be, as of ``Card.can_walk``.
    """
    if card.knows_all_rows:
        return step_rows(num_steps, card.schedule.num_rows)
    if not card.can_walk(num_steps) and card.own_steps_only:
        raise ValueError(f"this checkpoint knows its own {card.num_steps} steps alone, not {num_steps}")
    return subgrid(card.rows, num_steps)
