from pathlib import Path

import pytest
import torch

from core.catalog.card import SHIPPED_CHECKPOINTS
from core.errors import InvalidRequest
from models.checkpoints.checkpoint import load_checkpoint
from models.data.dataset import load_data
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule, step_rows
from models.diffusion.unet import UNetConfig, build_unet
from models.distillation.chain import run_round
from models.distillation.halving import halving_loss
from models.distillation.methods.pd import pd_loss
from models.distillation.rounds import Round, plan_rounds, round_config
from models.training.batches import Batch, TrainingData, draw_batch
from models.training.parallel import Draws
from models.training.progress import Progress
from models.training.randomness import iteration_generator
from models.training.trainer import TrainConfig
from tests.methods import PD


def test_a_chain_halves_the_steps_and_keeps_to_the_rows_of_the_teacher() -> None:
    rounds = plan_rounds(step_rows(1024), from_steps=8, to_steps=1, method=PD.declaration)
    assert [this.num_steps for this in rounds] == [4, 2, 1]
    assert rounds[0].teacher_rows == step_rows(8)
    assert rounds[0].rows == rounds[1].teacher_rows == step_rows(4)
    assert rounds[2].rows == (0, 1024)


@pytest.mark.parametrize(
    ("from_steps", "to_steps", "field"), [(8, 3, "to"), (8, 8, "to"), (8, 16, "to"), (6, 3, "from"), (2048, 1, "from")]
)
def test_steps_that_do_not_halve_are_refused(from_steps: int, to_steps: int, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan_rounds(step_rows(1024), from_steps=from_steps, to_steps=to_steps, method=PD.declaration)
    assert caught.value.field == field


@pytest.mark.parametrize(("num_steps", "iterations"), [(8, 10), (4, 10), (2, 20), (1, 20)])
def test_the_last_two_rounds_are_twice_as_long(num_steps: int, iterations: int) -> None:
    assert round_config(TrainConfig(iterations=10), num_steps).iterations == iterations


@pytest.mark.slow
def test_a_student_comes_closer_to_a_teacher_that_stays_as_it_is(tmp_path: Path) -> None:
    network, card = load_checkpoint(SHIPPED_CHECKPOINTS / "digits" / "2-step")
    teacher = Denoiser(network.requires_grad_(False), cosine_schedule(), card.prediction_type)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    (this,) = plan_rounds(card.rows, from_steps=2, to_steps=1, method=PD.declaration)
    data = TrainingData.from_dataset(load_data("digits"), torch.device("cpu"))

    def ignore(progress: Progress) -> None:
        pass

    student = run_round(
        teacher,
        this,
        method=PD,
        data=data,
        config=TrainConfig(iterations=30, batch_size=16, learning_rate=3e-4, decay="cosine"),
        state_path=tmp_path / "state.pt",
        on_progress=ignore,
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def distance(denoise: Denoiser) -> float:
        """From two steps of the teacher, on noise that training did not see."""
        generator = iteration_generator(1, 0, torch.device("cpu"))
        batch = draw_batch(data, batch_size=64, generator=generator)
        with torch.inference_mode():
            return halving_loss(teacher, this.teacher_rows, pd_loss)(denoise.network, batch, Draws(generator)).item()

    assert distance(student) < 0.7 * distance(teacher)


def test_the_loss_of_a_round_falls_on_each_step_of_the_student(tiny_family: Path) -> None:
    """A teacher asked at the row of each image: every second row of its grid but the first, and those between."""
    network, card = load_checkpoint(tiny_family / "8-step")
    asked: set[int] = set()

    class Recording(torch.nn.Module):
        def forward(self, z_t: torch.Tensor, row: torch.Tensor) -> object:
            asked.update(row.tolist())
            return network(z_t, row)

    teacher = Denoiser(Recording(), cosine_schedule(), card.prediction_type)
    loss = halving_loss(teacher, card.rows, pd_loss)
    x = torch.zeros(64, 3, 8, 8)
    value = loss(network, Batch(x), Draws(iteration_generator(0, 0, x.device)))
    assert value.ndim == 0
    assert asked == set(range(128, 1025, 128))


def after_one_iteration(teacher: Denoiser, this: Round, folder: Path) -> Denoiser:
    """The student of a round on black pictures."""
    return run_round(
        teacher,
        this,
        method=PD,
        data=TrainingData(torch.zeros(4, 8, 8, 1, dtype=torch.uint8), flip=False),
        config=TrainConfig(iterations=1, batch_size=2),
        state_path=folder / f"{this.num_steps}.pt",
        on_progress=lambda progress: None,  # noqa: ARG005
    )


def test_dropout_of_a_teacher_is_off_in_its_students(tmp_path: Path) -> None:
    config = UNetConfig(
        image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1, dropout=0.5
    )
    teacher = Denoiser(build_unet(config).requires_grad_(False).eval(), cosine_schedule(), "sample")
    (this,) = plan_rounds(step_rows(2), from_steps=2, to_steps=1, method=PD.declaration)
    student = after_one_iteration(teacher, this, tmp_path)
    z_t, row = torch.randn(2, 1, 8, 8), torch.tensor([1024, 1024])
    student.network.train()
    teacher.network.train()
    assert torch.equal(student(z_t, row), student(z_t, row))
    assert not torch.equal(teacher(z_t, row), teacher(z_t, row))


def test_the_teacher_of_a_round_asks_for_no_gradients_and_its_student_does(tmp_path: Path) -> None:
    """So that what is compiled of a teacher keeps nothing for them; a student is the teacher of the next round."""
    config = UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=(), blocks=1)
    denoiser = Denoiser(build_unet(config).eval(), cosine_schedule(), "sample")
    for this in plan_rounds(step_rows(4), from_steps=4, to_steps=1, method=PD.declaration):
        teacher = denoiser
        denoiser = after_one_iteration(teacher, this, tmp_path)
        assert not any(value.requires_grad for value in teacher.network.parameters())
        assert all(value.requires_grad for value in denoiser.network.parameters())
