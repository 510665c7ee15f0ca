"""Muon moves hidden matrices as PyTorch's does, up to that one's rounding, and all else as Adam does."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.diffusion.unet import UNetConfig, build_unet
from models.training.adam import Adam
from models.training.muon import Muon, hidden_matrices, orthogonal
from models.training.trainer import TrainConfig, TrainingError, TrainState

RATES = (1e-2, 5e-3, 1e-3)


class Network(nn.Module):
    """A convolution that sees a picture, wide layers of both kinds, and what belongs to classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.hidden = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)
        self.tall, self.classes, self.head = nn.Linear(32, 96), nn.Embedding(50, 64), nn.Linear(96, 10)
        self.unused = nn.Linear(40, 40)


def give_gradients(network: Network, step: int) -> None:
    torch.manual_seed(step)
    for name, each in network.named_parameters():
        each.grad = None if name.startswith("unused") else torch.randn(each.shape)


def weights(network: Network) -> list[Tensor]:
    return [each.detach().clone() for each in network.parameters()]


def same(one: Network, other: Network) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_hidden_matrices_are_wide_on_both_sides() -> None:
    network = Network()
    assert [id(each) for each in hidden_matrices(network)] == [
        id(layer.weight) for layer in (network.hidden, network.tall, network.unused)
    ]
    unet = build_unet(UNetConfig(channels=32, multipliers=(1, 2), blocks=1, num_classes=100))
    others = {id(each) for each in unet.parameters()} - {id(each) for each in hidden_matrices(unet)}
    wide = {name for name, each in unet.named_parameters() if id(each) in others and each.ndim > 1}
    assert wide == {"conv_in.weight", "conv_out.weight", "class_embedding.weight"}


def test_a_channel_that_has_died_stands_still() -> None:
    torch.manual_seed(0)
    dead, faded = torch.randn(2, 1, 48, 40).unbind()
    dead[0, :3], faded[0, :3] = 0, 1e-36 * faded[0, :3]
    faded[0, 3:] = dead[0, 3:]
    assert torch.equal(orthogonal(faded), orthogonal(dead)), "subnormal numbers, in which a CPU is slow"
    assert not orthogonal(faded)[0, :3].any()


def test_singular_vectors_stay_and_singular_values_become_about_one() -> None:
    torch.manual_seed(0)
    given = torch.randn(2, 48, 20)
    made = orthogonal(given)
    assert torch.linalg.svdvals(made).min() > 0.6
    assert torch.linalg.svdvals(made).max() < 1.3
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    inner = left.mT @ made @ right.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_steps_of_matrices_are_pytorchs_and_those_of_all_else_adams() -> None:
    ours, theirs = Network(), Network()
    muon = Muon(ours)
    matrices = [theirs.hidden.weight, theirs.tall.weight]
    flat = [nn.Parameter(each.detach().flatten(1).clone()) for each in matrices]
    reference = torch.optim.Muon(flat, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    rest = [each for name, each in theirs.named_parameters() if name not in ("hidden.weight", "tall.weight")]
    adam = Adam(rest)
    for step, rate in enumerate(RATES):
        before = [ours.hidden.weight.detach().flatten(1).clone(), ours.tall.weight.detach().clone()]
        for each, known in zip(flat, before, strict=True):
            each.data.copy_(known)
        give_gradients(ours, step)
        give_gradients(theirs, step)
        for each, matrix in zip(flat, matrices, strict=True):
            assert matrix.grad is not None
            each.grad = matrix.grad.flatten(1)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        muon.step(rate, weight_decay=0.1)
        adam.step(rate, weight_decay=0.1)
        for matrix, expected, known in zip((ours.hidden.weight, ours.tall.weight), flat, before, strict=True):
            change = expected.detach() - known
            error = matrix.detach().flatten(1) - expected.detach()
            assert error.norm() < 0.03 * change.norm(), "theirs multiplies in bfloat16"
        kept = [each for name, each in ours.named_parameters() if name not in ("hidden.weight", "tall.weight")]
        assert all(torch.equal(one, other) for one, other in zip(kept, rest, strict=True))


def test_a_state_goes_on_to_the_same_bits() -> None:
    straight, cut = Network(), Network()
    one, other = Muon(straight), Muon(cut)
    for step, rate in enumerate(RATES):
        give_gradients(straight, step)
        one.step(rate)
        give_gradients(cut, step)
        resumed = Muon(cut)
        resumed.load_state_dict(other.state_dict())
        resumed.step(rate)
        other = resumed
        assert same(straight, cut)


def test_a_step_that_is_held_back_leaves_everything_as_it_was() -> None:
    ours, plain = Network(), Network()
    held, straight = Muon(ours), Muon(plain)
    give_gradients(ours, 0)
    give_gradients(plain, 0)
    held.step(1e-2, hold=torch.tensor(0.0))
    straight.step(1e-2)
    before = weights(ours)
    give_gradients(ours, 1)
    for each in ours.parameters():
        if each.grad is not None:
            each.grad[0] = float("nan")
    held.step(1e-2, hold=torch.tensor(1.0))
    assert all(torch.equal(one, other) for one, other in zip(weights(ours), before, strict=True))
    give_gradients(ours, 2)
    give_gradients(plain, 2)
    held.step(1e-2, hold=torch.tensor(0.0))
    straight.step(1e-2)
    assert same(ours, plain)


def test_a_run_goes_on_by_the_optimizer_it_began_with(tmp_path: Path) -> None:
    config = TrainConfig(iterations=3, optimizer="muon")
    network, again = Network(), Network()
    state, resumed = TrainState(network, config), TrainState(again, config)
    for step in range(2):
        give_gradients(network, step)
        state.optimizer.step(1e-2)
    state.save(tmp_path / "state.pt")
    resumed.load(tmp_path / "state.pt")
    for each, optimizer in ((network, state.optimizer), (again, resumed.optimizer)):
        give_gradients(each, 2)
        optimizer.step(1e-2)
    assert same(network, again)
    with pytest.raises(TrainingError, match="optimizer muon there and adam here"):
        TrainState(again, TrainConfig(iterations=3)).load(tmp_path / "state.pt")
