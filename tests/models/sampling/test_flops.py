import pytest
import torch
from torch import Tensor, nn

from models.diffusion.layers import SelfAttention
from models.diffusion.unet import UNetConfig, build_unet
from models.sampling.ceiling import ceiling
from models.sampling.flops import _by_operators, count_flops


@pytest.mark.parametrize("num_classes", [None, 3])
def test_flops_are_those_of_convolutions_linear_layers_and_attention(num_classes: int | None) -> None:
    network = build_unet(
        UNetConfig(
            image_shape=(3, 8, 8),
            channels=32,
            multipliers=(1, 2),
            attention_levels=(1,),
            blocks=1,
            num_classes=num_classes,
        )
    ).eval()
    by_hand = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal by_hand
        if isinstance(module, nn.Conv2d):
            by_hand += 2 * output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            by_hand += 2 * output.numel() * module.in_features
        elif isinstance(module, SelfAttention):
            _, channels, height, width = inputs[0].shape
            by_hand += 2 * 2 * channels * (height * width) ** 2

    for module in network.modules():
        module.register_forward_hook(count)
    labels = {} if num_classes is None else {"class_labels": torch.tensor([0])}
    with torch.no_grad():
        network(torch.zeros(1, 3, 8, 8), torch.tensor([4]), **labels)
    expected = by_hand
    assert count_flops(network.config, network.state_dict()) == expected
    assert _by_operators(network.config, network.state_dict()) == expected


def test_the_ceiling_is_a_rate() -> None:
    assert ceiling("fp32", torch.device("cpu"), 0, batch=1) > 1e8
