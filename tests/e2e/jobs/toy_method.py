"""A method of one file, as somebody else would add it: nothing in the product knows of it.

It takes the steps in one round, whatever they are; it trains a scale beside the student, by an optimizer of its own;
and it remembers the mean of its targets, which each iteration moves.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from core.methods.declaration import Method, Options

if TYPE_CHECKING:
    from models.distillation.method import Built, Setup


class ToyOptions(Options):
    strength: Annotated[float, Field(gt=0, le=2, description="Of the pull towards what it remembers")] = 0.5


METHOD = Method(
    name="toy",
    summary="a method of a test",
    build=f"{__name__}:build",
    options=ToyOptions,
    halves=False,
)


def build(setup: "Setup") -> "Built":
    import torch
    from torch import Tensor, nn

    from models.diffusion.prediction import Denoiser, add_noise
    from models.distillation.method import Built, Learning
    from models.distillation.rounds import Round
    from models.training.batches import Batch
    from models.training.companion import Companion
    from models.training.parallel import Draws

    assert isinstance(setup.options, ToyOptions)
    strength = setup.options.strength

    class Memory(Companion):
        mean: Tensor

        def __init__(self, seed: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.rand(1, generator=torch.Generator().manual_seed(seed)))
            self.register_buffer("mean", torch.zeros(1))
            self.optimizer = torch.optim.Adam([self.scale], lr=1e-2)
            self.seen = torch.zeros(1)

        def commit(self) -> None:
            self.mean.lerp_(self.seen, 0.1)

    def begin(teacher: Denoiser, this: Round, *, seed: int) -> Learning:
        memory = Memory(seed)
        schedule = teacher.schedule
        rows = torch.tensor(this.rows)

        def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
            row = rows[draws.randint(1, len(rows), (len(batch.x),))]
            alpha_t, sigma_t = schedule.at(row)
            z_t = add_noise(x=batch.x, eps=draws.randn(batch.x.shape), alpha=alpha_t, sigma=sigma_t)
            with torch.no_grad():
                target = teacher(z_t, row, batch.labels)
            memory.seen = target.mean().view(1)
            answer: Tensor = network(z_t, row).sample * memory.scale
            return (answer - target).square().mean() + strength * (answer.mean() - memory.mean).square().sum()

        return Learning(loss, memory)

    return Built(begin=begin, facts={"strength": strength})
