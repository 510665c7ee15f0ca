"""Adam is PyTorch's, bit for bit, and takes up what that one has written."""

import torch
from torch import Tensor, nn

from models.training.adam import Adam

RATES = (1e-2, 5e-3, 1e-3)


def weights() -> list[nn.Parameter]:
    """A convolution's in either layout of memory, a bias, and what no loss reaches."""
    torch.manual_seed(0)
    shapes = [(8, 4, 3, 3), (8, 4, 3, 3), (8,), (5, 3)]
    made = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    made[1].data = made[1].data.to(memory_format=torch.channels_last)
    return made


def give_gradients(parameters: list[nn.Parameter], step: int) -> None:
    torch.manual_seed(step)
    for each in parameters[:3]:
        each.grad = torch.empty_like(each).copy_(torch.randn(each.shape))


def theirs_step(optimizer: torch.optim.Adam, rate: float) -> None:
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()


def same(ours: list[nn.Parameter], theirs: list[nn.Parameter]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_steps_are_those_of_pytorch_and_states_go_over() -> None:
    ours, theirs = weights(), weights()
    adam, reference = Adam(ours), torch.optim.Adam(theirs, fused=True)
    for step, rate in enumerate(RATES):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        adam.step(rate)
        theirs_step(reference, rate)
        assert same(ours, theirs)
    assert not torch.equal(ours[1], weights()[1])
    assert torch.equal(ours[3], weights()[3]), "what has no gradient stays"

    # A state that lies otherwise in memory, as one of a run in another layout.
    saved = reference.state_dict()["state"]
    other = {index: {name: each.contiguous() for name, each in moments.items()} for index, moments in saved.items()}
    resumed = Adam(ours)
    resumed.load_state_dict({"state": other})
    back = torch.optim.Adam(theirs, fused=True)
    back.load_state_dict(adam.state_dict())
    assert back.state_dict()["param_groups"] == [{**reference.state_dict()["param_groups"][0], "lr": 0.0}]
    give_gradients(ours, 9)
    give_gradients(theirs, 9)
    resumed.step(RATES[0])
    theirs_step(back, RATES[0])
    assert same(ours, theirs)


def test_weights_decay_as_pytorchs_do() -> None:
    ours, theirs = weights(), weights()
    adam, reference = Adam(ours), torch.optim.AdamW(theirs, weight_decay=0.1, fused=True)
    for step, rate in enumerate(RATES):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        adam.step(rate, weight_decay=0.1)
        theirs_step(reference, rate)
        assert same(ours, theirs)


def test_a_step_that_is_held_back_leaves_everything_as_it_was() -> None:
    ours, plain = weights(), weights()
    held, straight = Adam(ours), Adam(plain)

    def move(parameters: list[nn.Parameter], adam: Adam, step: int, hold: Tensor | None) -> None:
        give_gradients(parameters, step)
        adam.step(RATES[0], hold=hold)

    move(ours, held, 0, torch.tensor(0.0))
    move(plain, straight, 0, None)
    before = [each.clone() for each in ours]
    move(ours, held, 1, torch.tensor(1.0))
    assert all(torch.equal(one, other) for one, other in zip(ours, before, strict=True))
    for parameters, adam, hold in ((ours, held, torch.tensor(0.0)), (plain, straight, None)):
        move(parameters, adam, 2, hold)
    assert same(ours, plain)
