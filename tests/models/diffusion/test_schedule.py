import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.diffusion.schedule import cosine_schedule, step_rows, subgrid


def test_signal_and_noise_have_unit_power_in_every_row() -> None:
    schedule = cosine_schedule()
    assert schedule.alpha.dtype == torch.float64
    assert schedule.alpha.shape == (1025,)
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(1025, dtype=torch.float64))
    assert (schedule.alpha.diff() < 0).all()


def test_ends_are_almost_clean_and_almost_noise() -> None:
    schedule = cosine_schedule()
    assert schedule.sigma[0].item() == pytest.approx(6.3e-3, rel=0.01)
    assert schedule.alpha[1024].item() == pytest.approx(4.8e-5, rel=0.02)


@given(st.sampled_from([1, 2, 4, 8, 16, 512, 1024]))
def test_rows_of_the_cosine_table_are_multiples_of_the_stride(num_steps: int) -> None:
    assert step_rows(num_steps) == tuple(k * 1024 // num_steps for k in range(num_steps + 1))


@given(st.integers(1, 999))
def test_rows_of_a_foreign_table_span_it_without_repeats(num_steps: int) -> None:
    rows = step_rows(num_steps, 1000)
    assert len(rows) == num_steps + 1
    assert (rows[0], rows[-1]) == (0, 999)
    assert all(a < b for a, b in itertools.pairwise(rows))


@pytest.mark.parametrize("num_steps", [0, -1, 1025])
def test_steps_beyond_the_table_are_refused(num_steps: int) -> None:
    with pytest.raises(ValueError, match="1…1024"):
        step_rows(num_steps)


def test_halving_keeps_the_rows_of_the_teacher() -> None:
    assert subgrid(step_rows(8), 4) == step_rows(4)
    assert subgrid(step_rows(8), 8) == step_rows(8)
    with pytest.raises(ValueError, match="divisor of 8"):
        subgrid(step_rows(8), 3)
