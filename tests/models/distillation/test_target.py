import torch
from torch import Tensor

from core.methods.solvers import Solver
from models.diffusion.ddim import ddim_step
from models.diffusion.schedule import cosine_schedule, step_rows
from models.distillation.target import target_batch, walked_target

SOLVERS: tuple[Solver, ...] = ("ddim", "dpm++")


def test_one_student_step_onto_the_target_lands_where_two_teacher_steps_do() -> None:
    schedule = cosine_schedule()
    rows = torch.tensor(step_rows(8))
    step = torch.tensor([1, 2, 3, 4])
    generator = torch.Generator().manual_seed(0)
    x = torch.tanh(torch.randn(4, 3, 4, 4, generator=generator))
    eps = torch.randn(4, 3, 4, 4, generator=generator)

    def teacher(z_t: Tensor, row: Tensor) -> Tensor:
        return 2.0 * torch.tanh(z_t + 1e-3 * row.view(-1, 1, 1, 1))  # beyond [-1, 1]: the target must not be clipped

    batch = target_batch(teacher, schedule=schedule, rows=rows, x=x, eps=eps, step=step)

    def move(z: Tensor, x_hat: Tensor, row_from: Tensor, row_to: Tensor) -> Tensor:
        alpha_t, sigma_t = schedule.at(row_from)
        alpha_s, sigma_s = schedule.at(row_to)
        return ddim_step(z_t=z, x_hat=x_hat, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_s, sigma_s=sigma_s)

    t, m, s = rows[2 * step], rows[2 * step - 1], rows[2 * step - 2]
    z_m = move(batch.z_t, teacher(batch.z_t, t), t, m)
    z_s = move(z_m, teacher(z_m, m), m, s)
    torch.testing.assert_close(move(batch.z_t, batch.x_target, t, s), z_s, atol=1e-4, rtol=1e-4)
    assert batch.row_t.tolist() == [256, 512, 768, 1024]  # rows, not step indices
    assert batch.x_target.abs().max() > 1.5
    assert not batch.x_target.requires_grad


def test_a_better_solver_comes_nearer_to_where_many_steps_lead() -> None:
    """Of a teacher that answers with the mean of two points, as a perfect one does."""
    schedule = cosine_schedule()
    generator = torch.Generator().manual_seed(0)
    z_t = torch.randn(4, 3, 4, 4, generator=generator)
    t, s = torch.tensor([1024, 768, 512, 256]), torch.tensor([768, 512, 256, 0])

    def teacher(z: Tensor, row: Tensor) -> Tensor:
        alpha, sigma = schedule.at(row)
        return (0.5 * torch.tanh(z * 0.5 * alpha / sigma.square())).float()

    def target(steps: int, solver: Solver) -> Tensor:
        rows = torch.stack([t - (t - s) * index // steps for index in range(steps + 1)])
        return walked_target(teacher, schedule=schedule, z_t=z_t, rows=rows, solver=solver)

    far = {solver: (target(4, solver) - target(128, "ddim")).norm() for solver in SOLVERS}
    assert 1.3 * far["dpm++"] < far["ddim"]
