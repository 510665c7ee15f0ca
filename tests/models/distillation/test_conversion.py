"""A teacher that predicts noise becomes a student that predicts images."""

from dataclasses import replace
from pathlib import Path

import torch

from core.catalog.card import NoiseSchedule
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import build_schedule, step_rows
from models.diffusion.unet import UNetConfig, build_unet
from models.distillation.chain import run_round
from models.distillation.rounds import plan_rounds
from models.training.batches import TrainingData
from models.training.trainer import TrainConfig
from tests.methods import PD

LINEAR = NoiseSchedule(beta_schedule="linear", num_rows=1000, beta_start=1e-4, beta_end=0.02)


def test_a_conversion_comes_first_and_keeps_the_steps() -> None:
    rounds = plan_rounds(step_rows(512, 1000), from_steps=4, to_steps=2, convert=True, method=PD.declaration)
    assert [this.rows for this in rounds] == [(0, 250, 500, 749, 999), (0, 500, 999)]
    assert [this.is_conversion for this in rounds] == [True, False]
    (only,) = plan_rounds(step_rows(8), from_steps=8, to_steps=8, convert=True, method=PD.declaration)
    assert only.is_conversion


def test_the_student_answers_with_the_image_that_the_teacher_implies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_unet(UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1,), attention_levels=()))
    teacher = Denoiser(network.requires_grad_(False).eval(), build_schedule(LINEAR), "epsilon")
    (this,) = plan_rounds(step_rows(512, 1000), from_steps=4, to_steps=4, convert=True, method=PD.declaration)
    student = run_round(
        teacher,
        this,
        method=PD,
        data=TrainingData(torch.randint(0, 256, (64, 8, 8, 1), dtype=torch.uint8), flip=False),
        config=TrainConfig(iterations=60, batch_size=16, learning_rate=2e-3, decay="cosine"),
        state_path=tmp_path / "state.pt",
        on_progress=lambda progress: None,  # noqa: ARG005
    )
    assert student.prediction_type == "sample"
    z_t = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    row = torch.tensor(this.rows[1:]).repeat(16)
    with torch.no_grad():
        wanted = teacher(z_t, row).clamp(-1, 1)
        before = (replace(student, network=network)(z_t, row) - wanted).square().mean()
        after = (student(z_t, row) - wanted).square().mean()
    assert after < 0.3 * before
