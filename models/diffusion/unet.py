"""The network: diffusers' ``UNet2DModel`` in the shape of the CFD authors' U-Net (that of DDPM)."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusers.models.unets.unet_2d import UNet2DModel
from torch import nn

from core.errors import InvalidRequest

FIELDS: Mapping[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(UNet2DModel).parameters.items()
}
"""Every field of a network's configuration, with diffusers' default."""

PLAIN_BLOCKS = frozenset({"DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"})
"""DDPM's blocks, of which ours are made."""

_OUR_CHOICES: Mapping[str, Any] = {
    # The authors' choices, all different from diffusers' defaults: one attention head, symmetric padding where the
    # picture is halved, sines before cosines.
    "attention_head_dim": None,
    "downsample_padding": 1,
    "flip_sin_to_cos": False,
    "freq_shift": 0,
    "norm_eps": 1e-5,
}
_OUR_SIZES = frozenset(
    {
        *("sample_size", "in_channels", "out_channels", "layers_per_block", "norm_num_groups", "block_out_channels"),
        *("down_block_types", "up_block_types", "dropout", "num_class_embeds"),
    }
)


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Size of a U-Net. The defaults are the paper's for CIFAR-10: 35.7 million weights.

    Attributes:
        image_shape: Channels, height, width.
        channels: Width of the first level, a multiple of 32.
        multipliers: Width of each level as a multiple of ``channels``; each level after the first halves the picture.
        attention_levels: Levels, from 0, with self-attention.
        blocks: Residual blocks a level.
        norm_groups: Groups of each normalisation, at most 32 as in the paper and of at least 4 channels. A group of one
            channel takes away whatever is added to all of its pixels, and time and class with it.
        dropout: In each residual block; for base training only.
        num_classes: Classes to be conditioned on; None for an unconditional network.
    """

    image_shape: tuple[int, int, int] = (3, 32, 32)
    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    attention_levels: tuple[int, ...] = (1,)
    blocks: int = 2
    norm_groups: int | None = None
    dropout: float = 0.0
    num_classes: int | None = None


def build_unet(config: UNetConfig) -> UNet2DModel:
    """A U-Net with fresh weights; called as of ``models.diffusion.prediction.Denoiser``."""
    image_channels, height, width = config.image_shape
    attention = [level in config.attention_levels for level in range(len(config.multipliers))]
    sizes = {
        "sample_size": height if height == width else (height, width),
        "in_channels": image_channels,
        "out_channels": image_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.norm_groups or min(32, config.channels // 4),
        "block_out_channels": tuple(config.channels * multiplier for multiplier in config.multipliers),
        "down_block_types": tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attention),
        "up_block_types": tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attention)),
        "dropout": config.dropout,
        "num_class_embeds": config.num_classes,
    }
    return UNet2DModel(**sizes, **_OUR_CHOICES)


def image_shape_of(network: UNet2DModel) -> tuple[int, int, int]:
    """Channels, height and width of the images that a network is for."""
    size = network.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return network.config.in_channels, height, width


def is_ours(network: UNet2DModel) -> bool:
    """Whether a network is of the kind that ``build_unet`` makes."""
    config = network.config
    return PLAIN_BLOCKS.issuperset((*config.down_block_types, *config.up_block_types)) and all(
        config[name] == _OUR_CHOICES.get(name, default) for name, default in FIELDS.items() if name not in _OUR_SIZES
    )


def refuse_unfit(config: UNetConfig) -> None:
    """Raise ``InvalidRequest`` where there is no such network, or its pictures cannot be halved from level to level."""
    levels, (_, height, width) = len(config.multipliers), config.image_shape
    if not levels or min(config.multipliers) < 1:
        raise InvalidRequest(
            "a network has at least one level, each at least as wide as the first", field="multipliers"
        )
    unit = 2 ** (levels - 1)
    if height % unit or width % unit:
        raise InvalidRequest(
            f"pictures of {height}x{width} cannot be halved {levels - 1} times, once for each level but the first; "
            f"sides must be multiples of {unit}: --size {max(unit, max(height, width) // unit * unit)} makes them so, "
            "or take fewer --multipliers",
            field="size",
        )
    groups = config.norm_groups or min(32, config.channels // 4)
    if any(config.channels * multiplier % groups for multiplier in config.multipliers):
        raise InvalidRequest(f"{config.channels} channels cannot be normalised in {groups} groups", field="channels")


def disable_dropout(network: UNet2DModel) -> UNet2DModel:
    """Set the dropout of a network to 0, in its configuration too: a student must not learn from masked activations."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    network.register_to_config(dropout=0.0)
    return network
