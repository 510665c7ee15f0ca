"""What a network computes, counted and not timed."""

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


@torch.inference_mode()
def count_flops(network: UNet2DModel, image_shape: tuple[int, int, int]) -> int:
    """FLOPs of the convolutions and matrix products in one call for one image (C, H, W).

    Runs it without values, on the shapes of its weights alone, so nothing is computed or copied.
    """
    named = [*network.named_parameters(), *network.named_buffers()]
    shapes = {name: torch.empty_like(value, device="meta") for name, value in named}
    image = torch.empty(1, *image_shape, device="meta")
    one = torch.empty(1, dtype=torch.int64, device="meta")
    labels = {} if network.class_embedding is None else {"class_labels": one}
    with FlopCounterMode(display=False) as counter:
        functional_call(network, shapes, (image, one), labels)
    return int(counter.get_total_flops())
