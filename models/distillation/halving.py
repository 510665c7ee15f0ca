"""What methods share that halve: a student learns to do in one step what its teacher does in two."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from core.methods.solvers import Solver
from models.diffusion.prediction import Denoiser
from models.distillation.method import Begin, Learning
from models.distillation.rounds import Round
from models.distillation.target import TargetBatch, target_batch
from models.training.batches import Batch
from models.training.parallel import Draws
from models.training.trainer import Loss

StudentLoss = Callable[[Tensor, TargetBatch], Tensor]
"""Maps a student's ``x_hat`` (B, C, H, W) and its target to a scalar: how a method says what closeness is."""


HalvingStep = Callable[[nn.Module, Batch, Draws], tuple[Tensor, TargetBatch]]
"""Maps network, images and randomness of an iteration to ``x_hat`` (B, C, H, W) and its target."""


def halving_step(teacher: Denoiser, rows: tuple[int, ...], solver: Solver = "ddim") -> HalvingStep:
    """What a round from ``rows`` to every second of them compares; the student predicts what the teacher predicts."""
    if min(there - here for here, there in pairwise(rows)) < 2:
        solver = "ddim"  # no rows between its two steps, where there would be four
    student_steps = (len(rows) - 1) // 2
    row_table = torch.tensor(rows, device=teacher.schedule.alpha.device)

    def step(network: nn.Module, batch: Batch, draws: Draws) -> tuple[Tensor, TargetBatch]:
        x = batch.x
        step = draws.randint(1, student_steps + 1, (len(x),))
        eps = draws.randn(x.shape)
        teach = partial(teacher, labels=batch.labels)
        target = target_batch(teach, schedule=teacher.schedule, rows=row_table, x=x, eps=eps, step=step, solver=solver)
        x_hat = replace(teacher, network=network)(target.z_t, target.row_t, batch.labels)
        return x_hat, target

    return step


def halving_loss(teacher: Denoiser, rows: tuple[int, ...], student_loss: StudentLoss, solver: Solver = "ddim") -> Loss:
    """The loss of such a round."""
    step = halving_step(teacher, rows, solver)

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        return student_loss(*step(network, batch, draws))

    return loss


def by_halving(student_loss: StudentLoss, solver: Solver = "ddim") -> Begin:
    """Rounds of a method that differs from others by its loss alone; a teacher that can do so walks by ``solver``."""

    def begin(teacher: Denoiser, this: Round, *, seed: int) -> Learning:  # noqa: ARG001
        return Learning(halving_loss(teacher, this.teacher_rows, student_loss, this.solver(solver)))

    return begin
