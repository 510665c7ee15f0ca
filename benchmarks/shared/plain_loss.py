"""A CFD iteration's loss as the authors' code (zju-SWJ/RCFD) computes it, and how far from theirs it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoints.authors import load_authors_unet
from models.diffusion.schedule import Schedule, cosine_schedule
from models.distillation.methods.cfd import RESNET_PRESET, CFDConfig, Classify
from tests.models.golden.vectors import Golden, GoldenClassifier


def plain_cfd_loss(
    teacher: nn.Module,
    student: nn.Module,
    classify: Classify,
    *,
    x: Tensor,
    eps: Tensor,
    step: Tensor,
    teacher_steps: int,
    schedule: Schedule,
    config: CFDConfig,
) -> Tensor:
    """CFD of one batch, as the authors' code computes it; arguments as of ``target`` and ``methods.cfd``."""
    stride = 1024 // teacher_steps
    t, m, s = (row * stride for row in (2 * step, 2 * step - 1, 2 * step - 2))

    def alpha(row: Tensor) -> Tensor:
        return schedule.alpha[row].float().view(-1, 1, 1, 1)

    def sigma(row: Tensor) -> Tensor:
        return schedule.sigma[row].float().view(-1, 1, 1, 1)

    def ddim(z: Tensor, row: Tensor, to: Tensor) -> Tensor:
        x_hat = teacher(z, row).sample
        eps_hat = (z - alpha(row) * x_hat) / sigma(row)
        z_to: Tensor = alpha(to) * x_hat + sigma(to) * eps_hat
        return z_to

    with torch.no_grad():
        z_t = alpha(t) * x + sigma(t) * eps
        z_s = ddim(ddim(z_t, t, m), m, s)
        fraction = sigma(s) / sigma(t)
        x_target = (z_s - fraction * z_t) / (alpha(s) - fraction * alpha(t))
        _, target_features = classify(x_target)
    logits, features = classify(student(z_t, t).sample)
    p = logits.softmax(1)
    mean = p.mean(0)
    kl = functional.kl_div(
        features.log_softmax(1), (target_features / config.temperature).softmax(1), reduction="batchmean"
    )
    share = config.entropy_share
    entropy, diversity = -(p * p.log()).sum(1).mean(), (mean * mean.log()).sum()
    return kl + config.dataset_weight * (share * entropy + (1 - share) * diversity)


def golden_difference() -> float:
    """Largest relative difference of the plain loop's loss from what the authors' code computed, over three rounds."""
    vectors = Golden()
    teacher, student = (load_authors_unet(vectors.state(f"{who}.")) for who in ("teacher", "student"))
    classifier = GoldenClassifier(vectors.state("classifier."))
    differences = []
    for name, steps in (("8to4", 8), ("4to2", 4), ("2to1", 2)):
        loss = plain_cfd_loss(
            teacher,
            student,
            classifier,
            x=vectors["distill.x_0"],
            eps=vectors[f"{name}.noise"],
            step=vectors[f"{name}.k"],
            teacher_steps=steps,
            schedule=cosine_schedule(),
            config=RESNET_PRESET,
        ).item()
        expected = vectors[f"{name}.cfd_t0.95_b0.003_g0.75.loss"].item()
        differences.append(abs(loss - expected) / abs(expected))
    return max(differences)
