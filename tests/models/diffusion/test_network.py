"""The network that trains against diffusers' own."""

import pytest
import torch
from torch import Tensor

from models.diffusion.network import UNet
from models.diffusion.unet import UNetConfig, build_unet, make_network
from tests.models import diffusers
from tests.models.networks import diffusers_unet

TINY = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)
CLASSES = UNetConfig(image_shape=(1, 16, 8), channels=32, multipliers=(1, 2, 2), attention_levels=(0, 2), num_classes=4)


def pair(config: UNetConfig) -> tuple[UNet, "diffusers.UNet2DModel"]:
    torch.manual_seed(0)
    ours = build_unet(config)
    torch.manual_seed(0)
    return ours, diffusers_unet(config)


@pytest.mark.parametrize("config", [TINY, CLASSES])
def test_a_seed_draws_the_same_weights_in_the_same_order(config: UNetConfig) -> None:
    ours, theirs = pair(config)
    assert dict(theirs.config).items() >= ours.config.items()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    # By this order an optimizer's moments are saved.
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize("config", [TINY, CLASSES])
def test_predictions_and_gradients_are_the_same(config: UNetConfig) -> None:
    labels = [] if config.num_classes is None else [torch.tensor([3, 0, 1])]
    images = torch.randn((3, *config.image_shape), generator=torch.Generator().manual_seed(1))
    outcomes: list[dict[str, Tensor]] = []
    for network in pair(config):
        prediction = network(images, torch.tensor([1, 512, 1024]), *labels).sample
        prediction.square().sum().backward()
        gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
        outcomes.append({"prediction": prediction.detach(), **gradients})
    ours, theirs = outcomes
    assert ours.keys() == theirs.keys()
    assert len(ours) > 1
    most = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, atol=1e-6 * most, rtol=1e-4)


def test_classes_must_be_given_where_there_are_some_and_nowhere_else() -> None:
    images, rows, labels = torch.zeros(1, 1, 16, 8), torch.tensor([5]), torch.tensor([0])
    with pytest.raises(ValueError, match="classes"):
        build_unet(CLASSES)(images, rows)
    with pytest.raises(ValueError, match="classes"):
        build_unet(TINY)(images.expand(-1, 3, -1, -1), rows, labels)


def test_what_is_none_of_ours_is_as_diffusers_makes_it() -> None:
    ours = build_unet(TINY)
    assert type(make_network(ours.config)) is UNet
    assert type(make_network({**ours.config, "act_fn": "gelu"})) is diffusers.UNet2DModel
