"""The network as it samples against diffusers' own."""

import pytest
import torch
from torch.nn import functional

from models.diffusion.layers import attend
from models.diffusion.unet import UNetConfig
from models.sampling.layers import packs
from models.sampling.lean import LeanUNet
from tests.models import diffusers
from tests.models.networks import diffusers_unet

TINY = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)
CLASSES = UNetConfig(image_shape=(1, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(0,), num_classes=4)
SIZES = (1, 2, 4, 8, 16)


def network(config: UNetConfig) -> "diffusers.UNet2DModel":
    torch.manual_seed(0)
    return diffusers_unet(config).eval().requires_grad_(False)


def noise(config: UNetConfig, count: int) -> torch.Tensor:
    return torch.randn((count, *config.image_shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", [TINY, CLASSES])
@torch.inference_mode()
def test_it_predicts_what_diffusers_predicts(config: UNetConfig) -> None:
    plain = network(config)
    labels = None if config.num_classes is None else torch.tensor([3, 0, 1])
    expected = plain(noise(config, 3), torch.full((3,), 640), labels).sample
    lean = LeanUNet(plain.config, plain.state_dict(), dtype=torch.float32)
    shifts = lean.shifts(640, None if labels is None else labels.tolist())
    torch.testing.assert_close(lean(noise(config, 3), shifts), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [TINY, CLASSES])
@torch.inference_mode()
def test_an_image_is_the_same_in_every_batch_size(config: UNetConfig, dtype: torch.dtype) -> None:
    plain = network(config)
    lean = LeanUNet(plain.config, plain.state_dict(), dtype=dtype)
    images = noise(config, 16)
    labels = None if config.num_classes is None else [index % 4 for index in range(16)]

    def in_batches(size: int) -> torch.Tensor:
        starts = range(0, 16, size)
        shifts = [lean.shifts(1024, labels and labels[start : start + size]) for start in starts]
        return torch.cat([lean(images[s : s + size], shift) for s, shift in zip(starts, shifts, strict=True)])

    outcomes = {size: in_batches(size) for size in SIZES}
    # Where oneDNN lays out the weights one kernel has them all; elsewhere kernels may sum in another order.
    exact = packs(torch.device("cpu"), dtype)
    tolerance = 0 if exact else {torch.float32: 2e-5, torch.bfloat16: 0.05}[dtype]
    for size in SIZES:
        torch.testing.assert_close(outcomes[size], outcomes[8], atol=tolerance, rtol=0)


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_by_products_is_attention(heads: int) -> None:
    query, key, value = torch.randn((3, 2, heads, 16, 8), generator=torch.Generator().manual_seed(0))
    expected = functional.scaled_dot_product_attention(query, key, value, scale=0.3)
    torch.testing.assert_close(attend(query, key, value, 0.3), expected)
