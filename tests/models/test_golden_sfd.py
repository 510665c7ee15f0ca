"""Every number here was computed by the SFD authors' own code (see golden/README.md)."""

import pytest
import torch
from torch import Tensor

from core.methods.solvers import Solver
from models.diffusion.ddim import ddim_step
from models.diffusion.prediction import Denoiser
from models.distillation.methods.sfd import l1_loss, landing, teacher_goals
from models.distillation.solvers import solve
from tests.models.golden.vectors import Golden, assert_close, assert_gradients_close, denoiser

SOLVERS: dict[str, Solver] = {"ddim": "ddim", "dpmpp": "dpm++"}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("sfd_rdd_vectors")


@pytest.fixture(scope="module")
def networks() -> Golden:
    return Golden()


def goals_of(golden: Golden, case: str, teacher: Denoiser) -> Tensor:
    rows, noise = golden[f"sfd.{case}.teacher_rows"], golden[f"sfd.{case}.noise"]
    every = (len(rows) - 1) // (len(golden[f"sfd.{case}.rows"]) - 1)
    solver = SOLVERS[case]
    return teacher_goals(teacher, schedule=teacher.schedule, rows=rows, every=every, noise=noise, solver=solver)


def step_of(
    golden: Golden, case: str, student: Denoiser, *, index: int, z_t: Tensor, goal: Tensor
) -> tuple[Tensor, ...]:
    """Of a student's step, from noise: ``x_hat``, where it arrives, loss, target and weight."""
    rows, schedule = golden[f"sfd.{case}.rows"], student.schedule
    row_t, row_s = (rows[len(rows) - 1 - index - back].expand(len(z_t)) for back in (0, 1))
    target, weight = landing(schedule=schedule, z_t=z_t, goal=goal, row_t=row_t, row_s=row_s)
    x_hat = student(z_t, row_t)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.at(row_t), schedule.at(row_s)
    z_s = ddim_step(z_t=z_t, x_hat=x_hat, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_s, sigma_s=sigma_s)
    return x_hat, z_s.detach(), l1_loss(x_hat, target, weight), target.x_target, weight


@pytest.mark.parametrize("case", SOLVERS)
def test_a_trajectory_and_the_steps_of_a_student_beside_it(golden: Golden, networks: Golden, case: str) -> None:
    teacher, student = denoiser(networks, "teacher"), denoiser(networks, "student")
    z_t = golden[f"sfd.{case}.noise"]
    pixels = z_t[0].numel()  # theirs is the sum over them
    for index, goal in enumerate(goals_of(golden, case, teacher)):
        assert_close(goal, golden[f"sfd.{case}.teacher_z.{index}"])
        x_hat, z_t, loss, x_target, weight = step_of(golden, case, student, index=index, z_t=z_t, goal=goal)
        assert_close(x_hat, golden[f"sfd.{case}.x_hat.{index}"])
        assert_close(z_t, golden[f"sfd.{case}.student_z.{index}"])
        assert_close(weight.flatten()[0], golden[f"sfd.{case}.weight.{index}"])
        if case == "ddim":
            assert_close(x_target, golden[f"sfd.{case}.x_target.{index}"])
        torch.testing.assert_close(loss * pixels, golden[f"sfd.{case}.loss.{index}"], rtol=2e-4, atol=0)
        student.network.zero_grad()
        (loss * pixels).backward()
        assert_gradients_close(student, golden, f"sfd.{case}.grad", 1e-3, suffix=f".{index}")


def test_every_call_of_a_trajectory(golden: Golden, networks: Golden) -> None:
    teacher = denoiser(networks, "teacher")
    asked: list[int] = []

    def denoise(z_t: Tensor, row: Tensor) -> Tensor:
        asked.append(int(row[0]))
        return teacher(z_t, row)

    noise = golden["sfd.dpmpp.noise"]
    falling = golden["sfd.dpmpp.teacher_rows"].flip(0)[:, None].expand(-1, len(noise))
    states = solve(denoise, schedule=teacher.schedule, rows=falling, z=noise, solver="dpm++")
    assert_close(torch.stack([z for z, _ in states]), golden["sfd.dpmpp.trajectory_z"])
    assert asked == golden["sfd.dpmpp.teacher_calls"].tolist()


def test_an_iteration_with_a_step_of_adam_after_each_step(golden: Golden, networks: Golden) -> None:
    """The student goes on from where the weights before that step arrived."""
    teacher, student = denoiser(networks, "teacher"), denoiser(networks, "student")
    before = {
        name: student.network.get_parameter(name).detach().clone() for name in ("conv_in.weight", "conv_out.weight")
    }
    adam = torch.optim.Adam(student.network.parameters(), lr=golden.config["sfd"]["ddim"]["lr"])
    z_t = golden["sfd.ddim.noise"]
    for index, goal in enumerate(goals_of(golden, "ddim", teacher)):
        _, z_t, loss, _, _ = step_of(golden, "ddim", student, index=index, z_t=z_t, goal=goal)
        torch.testing.assert_close(loss * z_t[0].numel(), golden[f"sfd.ddim.updated.loss.{index}"], rtol=2e-4, atol=0)
        adam.zero_grad()
        (loss * z_t[0].numel()).backward()
        adam.step()
    assert_close(z_t, golden["sfd.ddim.updated.last_z"])
    for name, theirs in zip(before, ("head", "tail"), strict=True):
        change, expected = (
            student.network.get_parameter(name) - before[name],
            golden[f"sfd.ddim.updated.{theirs}_weight_change"],
        )
        assert (change - expected).norm() <= 5e-3 * expected.norm()
