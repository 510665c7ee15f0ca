"""Simple and fast distillation (Zhou et al. 2024, algorithm 1): follow the teacher from where the student itself is.

The teacher walks once from noise, in K sub-steps to each of the student's N. The student walks beside it, and each of
its steps is to land where the teacher is by then; it goes on from where it arrived, so it learns to come back. An
iteration is one step of the student, taken by the weights before it is corrected.

The loss is the authors' in their space of ``z / alpha``: ``|z_s - z*_s| / alpha_s`` is ``w |x_hat - x*|`` with ``x*``
the image that lands on the teacher's ``z*_s`` and ``w = 1 - n_s / n_t``, ``n = sigma / alpha``. It is the mean over
pixels where theirs is the sum, which Adam cannot tell. Ours beside it: CFD's loss in its place, any teacher's rows, and
states clipped as the sampler clips them, while ``x*`` never is.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.methods.sfd import SFDOptions
from core.methods.solvers import Solver
from models.diffusion.ddim import ddim_step
from models.diffusion.prediction import Denoise, Denoiser
from models.diffusion.schedule import Schedule
from models.distillation.method import Begin, Built, Learning, Setup
from models.distillation.methods.cfd import cfd_loss, settled
from models.distillation.rounds import Round
from models.distillation.solvers import solve
from models.distillation.target import TargetBatch
from models.distillation.through import load_teaching_classifier
from models.training.batches import Batch
from models.training.companion import Companion
from models.training.parallel import Draws, gather_rows, own_rows

LandingLoss = Callable[[Tensor, TargetBatch, Tensor], Tensor]
"""Maps a student's ``x_hat`` (B, C, H, W), the target and its ``w`` (1, 1, 1, 1) to a scalar."""


def l1_loss(x_hat: Tensor, target: TargetBatch, weight: Tensor) -> Tensor:
    """``w |x_hat - x*|``, mean over pixels and images."""
    return (weight * (x_hat - target.x_target).abs()).mean()


def teacher_goals(
    teacher: Denoise, *, schedule: Schedule, rows: Tensor, every: int, noise: Tensor, solver: Solver
) -> Tensor:
    """Where the teacher is when a student has taken each of its N steps, (N, B, C, H, W) float32 from noise to clean.

    Args:
        teacher: Maps ``(z, row)`` to ``x_hat``.
        schedule: The table.
        rows: (N * every + 1,) int64, the teacher's from clean to noise.
        every: Its sub-steps to a step of the student.
        noise: (B, C, H, W) standard normal, the images at the last row.
        solver: What it walks by.
    """
    falling = rows.flip(0)[:, None].expand(-1, len(noise))
    states = [z for z, _ in solve(teacher, schedule=schedule, rows=falling, z=noise, solver=solver)]
    return torch.stack(states[every - 1 :: every])


def landing(
    *, schedule: Schedule, z_t: Tensor, goal: Tensor, row_t: Tensor, row_s: Tensor
) -> tuple[TargetBatch, Tensor]:
    """What takes a student from ``z_t`` (B, C, H, W) to ``goal``, and its ``w``; rows are (B,) int64."""
    alpha_t, sigma_t = schedule.at(row_t)
    alpha_s, sigma_s = schedule.at(row_s)
    weight = (1 - schedule.ratio(row_t) / schedule.ratio(row_s)).float()
    x_target = (goal - sigma_s / sigma_t * z_t) / (alpha_s * weight)
    return TargetBatch(z_t=z_t, row_t=row_t, alpha_t=alpha_t, sigma_t=sigma_t, x_target=x_target), weight


class Trajectory(Companion):
    """Where students and teacher are between two iterations: of older weights, so it cannot be made again.

    Attributes:
        step: Of the student, that comes next, from 0 at noise.
        state: None at 0, else of the whole batch: ``z`` (B, C, H, W), the teacher's ``goals`` (N, B, C, H, W) and the
            ``labels`` (B,) int64, which are None as those of data may be.
    """

    def __init__(self, num_steps: int, device: torch.device) -> None:
        """At noise."""
        super().__init__()
        self._num_steps, self._device = num_steps, device
        self.step = 0
        self.state: dict[str, Tensor | None] | None = None
        self.arrived: dict[str, Tensor | None] | None = None

    def commit(self) -> None:
        """Go on from where the last iteration arrived, or begin anew."""
        self.step = (self.step + 1) % self._num_steps
        self.state = self.arrived if self.step else None

    def get_extra_state(self) -> dict[str, Any]:
        """What is saved."""
        return {"step": self.step, "state": self.state}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """What was saved."""
        self.step = state["step"]
        kept = state["state"]
        self.state = kept and {name: value if value is None else value.to(self._device) for name, value in kept.items()}


def along(solver: Solver, landing_loss: LandingLoss) -> Begin:
    """Rounds in which each iteration is one step along the student's own trajectory."""

    def begin(teacher: Denoiser, this: Round, *, seed: int) -> Learning:  # noqa: ARG001
        schedule, device = teacher.schedule, teacher.schedule.alpha.device
        teacher_rows, rows = (torch.tensor(each, device=device) for each in (this.teacher_rows, this.rows))
        num_steps = this.num_steps
        every = (len(teacher_rows) - 1) // num_steps
        walk = partial(teacher_goals, schedule=schedule, rows=teacher_rows, every=every, solver=this.solver(solver))
        here = Trajectory(num_steps, device)

        def start(batch: Batch, draws: Draws) -> dict[str, Tensor | None]:
            noise = draws.randn(batch.x.shape)
            goals = walk(partial(teacher, labels=batch.labels), noise=noise)
            whole = torch.stack([gather_rows(goal) for goal in goals])
            labels = None if batch.labels is None else gather_rows(batch.labels)
            return {"z": gather_rows(noise), "goals": whole, "labels": labels}

        def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
            state = here.state or start(batch, draws)
            z, goals, labels = state["z"], state["goals"], state["labels"]
            assert z is not None
            assert goals is not None
            z_t, goal = own_rows(z), own_rows(goals[here.step])
            labels = None if labels is None else own_rows(labels)
            row_t, row_s = (rows[num_steps - here.step - back].expand(len(z_t)) for back in (0, 1))
            target, weight = landing(schedule=schedule, z_t=z_t, goal=goal, row_t=row_t, row_s=row_s)
            x_hat = replace(teacher, network=network)(z_t, row_t, labels)
            alpha_s, sigma_s = schedule.at(row_s)
            z_s = ddim_step(
                z_t=z_t,
                x_hat=x_hat.detach().clamp(-1.0, 1.0),
                alpha_t=target.alpha_t,
                sigma_t=target.sigma_t,
                alpha_s=alpha_s,
                sigma_s=sigma_s,
            )
            here.arrived = {**state, "z": gather_rows(z_s)}
            return landing_loss(x_hat, target, weight)

        return Learning(loss, here)

    return begin


def build(setup: Setup) -> Built:
    """As of ``models.distillation.method.Build``. By default a teacher that can do so walks by DPM-Solver++."""
    options = setup.options
    assert isinstance(options, SFDOptions)
    solver: Solver = options.solver or ("dpm++" if setup.knows_all_rows else "ddim")
    facts: dict[str, object] = {"loss": options.loss or "l1", "solver": solver}
    if not options.needs_classifier:
        return Built(begin=along(solver, l1_loss), facts=facts)
    classifier = load_teaching_classifier(setup)
    config = settled(options, classifier)
    feature_loss = partial(cfd_loss, classify=classifier.network, config=config)
    return Built(
        begin=along(solver, lambda x_hat, target, _: feature_loss(x_hat, target)),
        facts={**facts, **asdict(config), **classifier.facts},
        class_names=classifier.class_names if config.dataset_weight else None,
    )
