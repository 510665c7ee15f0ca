"""What a network computes, counted and not timed."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.diffusion.unet import Config, image_shape_of
from models.sampling.kinds import is_lean, without_values


def count_flops(config: Config, weights: Mapping[str, Tensor]) -> int:
    """FLOPs of the convolutions and matrix products in one call for one image, its row and class included."""
    return _by_shapes(config, weights) if is_lean(config) else _by_operators(config, weights)


def _by_shapes(config: Config, weights: Mapping[str, Tensor]) -> int:
    """Of a lean network: each weight is multiplied with every pixel of its level, those of row and class with one."""
    _, height, width = image_shape_of(config)
    last, total = len(config["block_out_channels"]) - 1, 0
    for name, weight in weights.items():
        if weight.ndim < 2 or name in ("class_embedding.weight", "time_proj.weight"):  # which are looked up in
            continue
        place, *rest = name.split(".")
        if place.endswith("_blocks"):
            level = int(rest[0]) if place == "down_blocks" else last - int(rest[0])
            level += {"downsamplers": 1, "upsamplers": -1}.get(rest[1], 0)
        else:
            level = last if place == "mid_block" else 0
        pixels = 1 if "time_emb" in name else (height >> level) * (width >> level)
        total += 2 * weight.numel() * pixels
        if "to_q" in rest:
            total += 2 * 2 * len(weight) * pixels**2  # of all pixels with all, and of what they say
    return total


@torch.inference_mode()
def _by_operators(config: Config, weights: Mapping[str, Tensor]) -> int:
    """Of any network, which runs without values, so that nothing is computed or copied."""
    from torch.utils.flop_counter import FlopCounterMode

    network = without_values(config, weights)
    labels = None if config["num_class_embeds"] is None else [0]
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *image_shape_of(config), device="meta"), network.shifts(0, labels))
    return int(counter.get_total_flops())
