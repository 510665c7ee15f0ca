"""Our sampler against the library that does the same."""

import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.catalog.card import LastStep, PredictionType
from models.checkpoints.written import scheduler_fields
from models.diffusion.ddim import ddim_sample, ddim_step
from models.diffusion.prediction import add_noise, eps_from_x, x_from_prediction
from models.diffusion.schedule import cosine_schedule, step_rows
from tests.models import diffusers

SHAPE = (2, 3, 4, 4)


def random(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8, 64])
def test_agrees_with_the_scheduler_of_diffusers(num_steps: int) -> None:
    schedule = cosine_schedule()
    prediction = torch.tanh(random(1)) * 1.5  # some of it beyond the clip

    def denoise(z_t: Tensor, row: Tensor) -> Tensor:
        return prediction * 0.9 + 0.05 * torch.tanh(z_t) + 1e-4 * row.view(-1, 1, 1, 1)

    ours = ddim_sample(denoise, schedule=schedule, rows=step_rows(num_steps), noise=random(0))

    scheduler = diffusers.DDIMScheduler.from_config(scheduler_fields(num_steps, "sample"))
    scheduler.set_timesteps(num_steps)
    theirs = random(0)
    for row in scheduler.timesteps:
        x_hat = denoise(theirs, row.expand(2))
        theirs = scheduler.step(x_hat, row, theirs, use_clipped_model_output=True).prev_sample
    # diffusers keeps its table in float32; a level is 2 / 255
    torch.testing.assert_close(ours, theirs.clamp(-1, 1), atol=2e-4, rtol=0)


def test_the_two_rules_for_the_last_step_differ_by_its_noise() -> None:
    schedule = cosine_schedule()
    x = torch.tanh(random(2))

    def denoise(z_t: Tensor, row: Tensor) -> Tensor:  # noqa: ARG001
        return x

    by_rule = {
        rule: ddim_sample(denoise, schedule=schedule, rows=step_rows(1), noise=random(0), last_step=rule)
        for rule in typing.get_args(LastStep)
    }
    torch.testing.assert_close(by_rule["x_hat"], x)
    assert not torch.equal(by_rule["row_0"], x)
    torch.testing.assert_close(by_rule["row_0"], x, atol=0.05, rtol=0)  # sigma_0 is 6.3e-3


@given(
    row_t=st.integers(1, 1024),
    prediction_type=st.sampled_from(["sample", "epsilon", "v_prediction"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_a_perfect_prediction_of_any_type_gives_the_image_back(
    row_t: int, prediction_type: PredictionType, seed: int
) -> None:
    alpha, sigma = cosine_schedule().at(torch.tensor([row_t, row_t]))
    x, eps = torch.tanh(random(seed)), random(seed + 100)
    z_t = add_noise(x=x, eps=eps, alpha=alpha, sigma=sigma)
    prediction = {"sample": x, "epsilon": eps, "v_prediction": alpha * eps - sigma * x}[prediction_type]
    x_hat = x_from_prediction(prediction, z_t=z_t, alpha_t=alpha, sigma_t=sigma, prediction_type=prediction_type)
    # Recovering x from eps divides by alpha, which the noisiest rows hardly hold.
    error = 2e-6 / (alpha[0].item() if prediction_type == "epsilon" else 1.0)
    np.testing.assert_allclose(x_hat, x, atol=error)


@given(row_s=st.integers(0, 1023), span=st.integers(1, 1024), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_step_with_the_true_image_stays_on_its_path(row_s: int, span: int, seed: int) -> None:
    row_t = min(row_s + span, 1024)
    schedule = cosine_schedule()
    x, eps = torch.tanh(random(seed)), random(seed + 100)
    alpha_t, sigma_t = schedule.at(torch.tensor([row_t, row_t]))
    alpha_s, sigma_s = schedule.at(torch.tensor([row_s, row_s]))
    z_t = add_noise(x=x, eps=eps, alpha=alpha_t, sigma=sigma_t)
    z_s = ddim_step(z_t=z_t, x_hat=x, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_s, sigma_s=sigma_s)
    torch.testing.assert_close(z_s, add_noise(x=x, eps=eps, alpha=alpha_s, sigma=sigma_s), atol=1e-4, rtol=0)
    torch.testing.assert_close(eps_from_x(x_hat=x, z_t=z_t, alpha_t=alpha_t, sigma_t=sigma_t), eps, atol=1e-3, rtol=0)
