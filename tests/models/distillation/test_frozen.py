import pytest
import torch

from models.diffusion.unet import UNetConfig, build_unet
from models.distillation.frozen import frozen
from models.training.execution import AUTO, Execution, Precision
from tests.models import diffusers
from tests.models.networks import diffusers_unet

TINY = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)
CLASSES = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1,), attention_levels=(), num_classes=4)
ROWS = torch.tensor([1, 512, 1024])
"""One of each image's own."""


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 0.05)])
@pytest.mark.parametrize("config", [TINY, CLASSES])
def test_a_teacher_predicts_what_its_network_does(config: UNetConfig, precision: Precision, tolerance: float) -> None:
    torch.manual_seed(0)
    network = build_unet(config).eval()
    labels = {} if config.num_classes is None else {"class_labels": torch.tensor([3, 0, 1])}
    images = torch.randn(3, 3, 8, 8)
    expected = network(images, ROWS, **labels).sample
    teacher = frozen(network, Execution(precision=precision))
    prediction = teacher(images, ROWS, **labels).sample
    assert prediction.dtype is torch.float32
    assert not prediction.requires_grad
    torch.testing.assert_close(prediction, expected, atol=tolerance, rtol=0)


def test_another_kind_of_network_is_called_as_it_is() -> None:
    network: diffusers.UNet2DModel = diffusers_unet(TINY).eval()
    images = torch.randn(3, 3, 8, 8)
    prediction = frozen(network, AUTO)(images, ROWS).sample
    assert torch.equal(prediction, network(images, ROWS).sample)
    assert not prediction.requires_grad
