"""Distillation rounds: a student learns to do in one step what its teacher does in two."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import InvalidRequest
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import subgrid
from models.diffusion.unet import disable_dropout
from models.distillation.conversion import conversion_loss
from models.distillation.methods.pd import pd_loss
from models.distillation.target import TargetBatch, target_batch
from models.training.batches import Batch, DataSource
from models.training.execution import AUTO, Execution
from models.training.parallel import Draws
from models.training.progress import OnProgress
from models.training.trainer import Loss, TrainConfig, train

StudentLoss = Callable[[Tensor, TargetBatch], Tensor]
"""Maps a student's ``x_hat`` (B, C, H, W) and its target to a scalar: how a method says what closeness is."""


@dataclass(frozen=True)
class Round:
    """One round of a chain.

    Attributes:
        teacher_rows: The teacher's rows from clean to noise.
        rows: The student's: every second of them, or in a conversion all.
    """

    teacher_rows: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def is_conversion(self) -> bool:
        """Whether the student keeps the teacher's steps and only predicts something else."""
        return self.rows == self.teacher_rows

    @property
    def num_steps(self) -> int:
        """Steps of the student."""
        return len(self.rows) - 1


def plan_rounds(rows: tuple[int, ...], *, from_steps: int, to_steps: int, convert: bool = False) -> list[Round]:
    """The rounds from a teacher sampled in ``from_steps`` down to a student of ``to_steps``, halving each time.

    Args:
        rows: The teacher's rows; ``from_steps`` must divide their number of steps.
        from_steps: Steps of the first teacher.
        to_steps: Steps of the last student.
        convert: Whether a conversion comes first, from ``from_steps`` to as many.

    Raises:
        InvalidRequest: The teacher cannot be sampled in ``from_steps``, or halving them never meets ``to_steps``.
    """
    try:
        current = subgrid(rows, from_steps)
    except ValueError as error:
        raise InvalidRequest(str(error), field="from") from error
    rounds = [Round(current, current)] if convert else []
    while len(current) - 1 > to_steps and len(current) % 2:
        rounds.append(Round(current, current[::2]))
        current = current[::2]
    if not rounds or len(current) - 1 != to_steps:
        raise InvalidRequest(
            f"halving {from_steps} steps again and again does not give {to_steps}; "
            f"it must be {from_steps} divided by a power of two",
            field="to",
        )
    return rounds


def round_config(config: TrainConfig, num_steps: int) -> TrainConfig:
    """``config`` with the iterations doubled for students of two steps and one, as in the paper."""
    return replace(config, iterations=config.iterations * (2 if num_steps <= 2 else 1))


def round_loss(teacher: Denoiser, rows: tuple[int, ...], student_loss: StudentLoss = pd_loss) -> Loss:
    """The loss of one round from ``rows`` to every second of them; the student predicts what the teacher predicts."""
    student_steps = (len(rows) - 1) // 2
    row_table = torch.tensor(rows, device=teacher.schedule.alpha.device)

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        x = batch.x
        step = draws.randint(1, student_steps + 1, (len(x),))
        eps = draws.randn(x.shape)
        teach = partial(teacher, labels=batch.labels)
        target = target_batch(teach, schedule=teacher.schedule, rows=row_table, x=x, eps=eps, step=step)
        x_hat = replace(teacher, network=network)(target.z_t, target.row_t, batch.labels)
        return student_loss(x_hat, target)

    return loss


def run_round(
    teacher: Denoiser,
    this: Round,
    *,
    student_loss: StudentLoss = pd_loss,
    data: DataSource,
    config: TrainConfig,
    state_path: Path,
    on_progress: OnProgress,
    execution: Execution = AUTO,
) -> Denoiser:
    """Train a student from a copy of its teacher, without dropout; arguments as of ``models.training.trainer.train``."""
    student = replace(teacher, network=disable_dropout(copy.deepcopy(teacher.network).requires_grad_(True)))
    teacher = replace(teacher, network=execution.view(teacher.network))
    if this.is_conversion:
        student = replace(student, prediction_type="sample")
        loss = conversion_loss(teacher, this.rows, student)
    else:
        loss = round_loss(teacher, this.teacher_rows, student_loss)
    network = train(
        student.network,
        loss=loss,
        data=data,
        config=config,
        state_path=state_path,
        on_progress=on_progress,
        execution=execution,
    )
    return replace(student, network=network)
