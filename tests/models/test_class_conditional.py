"""Labels reach the network: in sampling, in training, in each round of distillation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import InvalidRequest
from models.checkpoints.checkpoint import load_denoiser
from models.distillation.conversion import conversion_loss
from models.distillation.halving import halving_loss
from models.distillation.methods.pd import pd_loss
from models.distillation.methods.sfd import along, l1_loss
from models.distillation.rounds import Round
from models.sampling.engine import Sampler
from models.training.base import base_loss
from models.training.batches import Batch
from models.training.parallel import Draws
from models.training.randomness import iteration_generator
from models.training.trainer import Loss

CPU = torch.device("cpu")


@pytest.fixture
def sampler(conditional_family: Path) -> Sampler:
    return Sampler(conditional_family / "2-step", device="cpu")


def test_a_class_makes_another_image_of_the_same_noise(sampler: Sampler) -> None:
    zero, one = (sampler.sample(seeds=[7], class_label=label) for label in (0, 1))
    assert not np.array_equal(zero, one)


def test_by_default_the_class_is_the_seed_modulo_the_number_of_classes(sampler: Sampler) -> None:
    images = sampler.sample(seeds=range(7, 18))
    for seed, image in zip(range(7, 18), images, strict=True):
        np.testing.assert_array_equal(image, sampler.sample(seeds=[seed], class_label=seed % 3)[0])


def test_a_class_that_is_not_there_is_refused(sampler: Sampler, tiny_family: Path) -> None:
    with pytest.raises(InvalidRequest, match="0 to 2"):
        sampler.sample(seeds=[0], class_label=3)
    with pytest.raises(InvalidRequest, match="not class-conditional"):
        Sampler(tiny_family / "1-step", device="cpu").sample(seeds=[0], class_label=0)


class Watched(nn.Module):
    """Keeps the labels that a network is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[Tensor] = []

    def forward(self, z_t: Tensor, row: Tensor, class_labels: Tensor) -> object:
        self.seen.append(class_labels)
        return self.network(z_t, row, class_labels=class_labels)


@pytest.mark.parametrize("kind", ["base", "round", "sfd", "conversion"])
def test_teacher_and_student_are_told_the_classes_of_the_batch(conditional_family: Path, kind: str) -> None:
    denoiser, card = load_denoiser(conditional_family / "2-step", CPU)
    taught, learning = Watched(denoiser.network), Watched(denoiser.network)
    teacher = replace(denoiser, network=taught)
    losses: dict[str, Loss] = {
        "base": base_loss(denoiser),
        "round": halving_loss(teacher, card.rows, pd_loss),
        "sfd": along("ddim", l1_loss)(teacher, Round(card.rows, (0, 1024)), seed=0).loss,
        "conversion": conversion_loss(teacher, card.rows, denoiser),
    }
    labels = torch.tensor([2, 0, 1, 1])
    losses[kind](learning, Batch(torch.zeros(4, 3, 8, 8), labels), Draws(iteration_generator(0, 0, CPU)))
    assert len(taught.seen) == {"base": 0, "round": 2, "sfd": 2, "conversion": 1}[kind]
    assert all(torch.equal(seen, labels) for seen in (*taught.seen, *learning.seen))
    assert len(learning.seen) == 1
