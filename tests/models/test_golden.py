"""Every number here was computed by the CFD authors' own code (see golden/README.md)."""

import pytest
import torch

from models.checkpoints.authors import authors_config, load_authors_unet
from models.diffusion.ddim import ddim_sample
from models.diffusion.losses import truncated_snr_loss
from models.diffusion.prediction import Denoiser, add_noise
from models.diffusion.schedule import cosine_schedule, step_rows, subgrid
from models.diffusion.unet import UNetConfig
from models.distillation.methods.cfd import CFDConfig, cfd_loss, diversity, entropy, feature_kl
from models.distillation.methods.pd import pd_loss
from models.distillation.target import TargetBatch, target_batch
from tests.models.golden.vectors import Golden, GoldenClassifier, assert_close, assert_gradients_close, denoiser

ROUNDS = {"8to4": 8, "4to2": 4, "2to1": 2, "1024to512": 1024}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden()


def test_schedule(golden: Golden) -> None:
    schedule = cosine_schedule()
    assert_close(schedule.alpha, golden["schedule.sqrt_alphas_bar"], 1e-12)
    assert_close(schedule.sigma, golden["schedule.sqrt_one_minus_alphas_bar"], 1e-12)


def test_size_of_the_network_is_read_off_its_weights(golden: Golden) -> None:
    theirs = golden.unet_config
    assert authors_config(golden.state("teacher.")) == UNetConfig(
        channels=theirs["ch"],
        multipliers=tuple(theirs["ch_mult"]),
        attention_levels=tuple(theirs["attn"]),
        blocks=theirs["num_res_blocks"],
        norm_groups=32,
    )


@torch.inference_mode()
def test_unet(golden: Golden) -> None:
    network = load_authors_unet(golden.state("teacher."))
    assert_close(network(golden["unet.x"], golden["unet.t"]).sample, golden["unet.out"])


@pytest.mark.parametrize("key", ["steps1", "steps2", "steps4", "steps8", "steps16", "from1024_stride128"])
@torch.inference_mode()
def test_ddim(golden: Golden, key: str) -> None:
    rows = subgrid(step_rows(1024), 8) if key == "from1024_stride128" else step_rows(int(key.removeprefix("steps")))
    teacher = denoiser(golden, "teacher")
    images = ddim_sample(teacher, schedule=teacher.schedule, rows=rows, noise=golden["ddim.x_T"])
    assert_close(images, golden[f"ddim.{key}"])


@torch.inference_mode()
def test_base_loss_of_each_image(golden: Golden) -> None:
    teacher = denoiser(golden, "teacher")
    alpha_t, sigma_t = teacher.schedule.at(golden["base.t"])
    x = golden["distill.x_0"]
    z_t = add_noise(x=x, eps=golden["base.noise"], alpha=alpha_t, sigma=sigma_t)
    loss = truncated_snr_loss(x_hat=teacher(z_t, golden["base.t"]), x_target=x, alpha_t=alpha_t, sigma_t=sigma_t)
    larger = torch.maximum(golden["base.loss_x_per_image"], golden["base.loss_eps_per_image"])
    torch.testing.assert_close(loss, larger, rtol=2e-4, atol=0)
    torch.testing.assert_close(loss.mean(), golden["base.loss_both"], rtol=2e-4, atol=0)


def round_batch(golden: Golden, name: str, teacher: Denoiser) -> TargetBatch:
    return target_batch(
        teacher,
        schedule=teacher.schedule,
        rows=torch.tensor(step_rows(ROUNDS[name])),
        x=golden["distill.x_0"],
        eps=golden[f"{name}.noise"],
        step=golden[f"{name}.k"],
    )


@pytest.mark.parametrize("name", ROUNDS)
def test_progressive_distillation_round(golden: Golden, name: str) -> None:
    teacher, student = denoiser(golden, "teacher"), denoiser(golden, "student")
    batch = round_batch(golden, name, teacher)
    assert_close(batch.z_t, golden[f"{name}.z_t"])
    # Their target of this chain comes from the form that cancels.
    assert_close(batch.x_target, golden[f"{name}.x_target"], 1e-3 if name == "1024to512" else 1e-4)

    x_hat = student(batch.z_t, batch.row_t)
    assert_close(x_hat, golden[f"{name}.x_student"])
    loss = pd_loss(x_hat, batch)
    torch.testing.assert_close(loss, golden[f"{name}.pd_loss"], rtol=2e-4, atol=0)
    loss.backward()
    assert_gradients_close(student, golden, f"{name}.pd_grad", 1e-3)


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("cfd_t0.9", CFDConfig()),
        ("cfd_t0.95_b0.003_g0.75", CFDConfig(temperature=0.95, dataset_weight=0.003, entropy_share=0.75)),
    ],
)
@pytest.mark.parametrize("name", ROUNDS)
def test_classifier_based_feature_distillation_round(golden: Golden, name: str, key: str, config: CFDConfig) -> None:
    teacher, student = denoiser(golden, "teacher"), denoiser(golden, "student")
    classifier = GoldenClassifier(golden.state("classifier."))
    batch = round_batch(golden, name, teacher)
    x_hat = student(batch.z_t, batch.row_t)

    with torch.no_grad():
        logits, features = classifier(x_hat)
        _, target_features = classifier(batch.x_target)
    parts = {
        "feature_kl": feature_kl(target_features, features, temperature=config.temperature),
        "entropy": entropy(logits),
        "diversity": diversity(logits),
    }
    for part, value in parts.items():
        torch.testing.assert_close(value, golden[f"{name}.{key}.{part}"], rtol=2e-4, atol=0)

    loss = cfd_loss(x_hat, batch, classify=classifier, config=config)
    torch.testing.assert_close(loss, golden[f"{name}.{key}.loss"], rtol=2e-4, atol=0)
    loss.backward()
    assert_gradients_close(student, golden, f"{name}.{key}.grad", 5e-3)
