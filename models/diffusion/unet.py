"""Which network: diffusers' ``UNet2DModel`` in the shape of the CFD authors' U-Net (that of DDPM), or any other."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn

from core.training.network import norm_groups, refuse_sides, refuse_widths
from models.diffusion.network import UNet

# diffusers is imported where a network is made of it: whoever trains or samples one of ours need not wait for it.
if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

Network: TypeAlias = "UNet | UNet2DModel"
"""What trains: called as of ``models.diffusion.prediction.Denoiser``, and with a ``config``."""

Config = Mapping[str, Any]
"""Fields of diffusers' network, as in its ``config`` or in the file of it."""

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
_OUR_DEFAULTS: Mapping[str, Any] = {
    # Where the authors' choices are diffusers' defaults.
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "act_fn": "silu",
    "attn_norm_num_groups": None,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_train_timesteps": None,
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


@cache
def fields() -> Config:
    """Every field of a network's configuration, with diffusers' default."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    return {name: parameter.default for name, parameter in inspect.signature(UNet2DModel).parameters.items()}


def build_unet(config: UNetConfig) -> UNet:
    """A U-Net with fresh weights; called as of ``models.diffusion.prediction.Denoiser``."""
    return UNet(config_of(config))


def config_of(config: UNetConfig) -> dict[str, Any]:
    """All fields of diffusers' network of that size."""
    image_channels, height, width = config.image_shape
    attention = [level in config.attention_levels for level in range(len(config.multipliers))]
    sizes = {
        "sample_size": height if height == width else (height, width),
        "in_channels": image_channels,
        "out_channels": image_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.norm_groups or norm_groups(config.channels),
        "block_out_channels": tuple(config.channels * multiplier for multiplier in config.multipliers),
        "down_block_types": tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attention),
        "up_block_types": tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attention)),
        "dropout": config.dropout,
        "num_class_embeds": config.num_classes,
    }
    return {**sizes, **_OUR_CHOICES, **_OUR_DEFAULTS}


def make_network(config: Config) -> Network:
    """The network of a configuration, with weights of no use yet: ours, or as diffusers makes it."""
    if is_ours(config):
        return UNet(config)
    from diffusers.models.unets.unet_2d import UNet2DModel

    return UNet2DModel.from_config(dict(config))


def image_shape_of(config: Config) -> tuple[int, int, int]:
    """Channels, height and width of the images that a network is for."""
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return config["in_channels"], height, width


def text_of(config: Config) -> str:
    """All fields as JSON, but for what diffusers notes of files and versions."""
    return json.dumps({name: value for name, value in sorted(config.items()) if not name.startswith("_")})


def is_ours(config: Config) -> bool:
    """Whether a network is of the kind that ``build_unet`` makes; without diffusers, so that all fields must be there.

    One with a field that a later diffusers adds is none of ours, and so is tried before it samples
    (models/sampling/kinds.py).
    """
    known = {name: value for name, value in config.items() if not name.startswith("_")}
    choices = {**_OUR_CHOICES, **_OUR_DEFAULTS}
    return (
        known.keys() == choices.keys() | _OUR_SIZES
        and all(known[name] == value for name, value in choices.items())
        and PLAIN_BLOCKS.issuperset((*known["down_block_types"], *known["up_block_types"]))
    )


def refuse_unfit(config: UNetConfig) -> None:
    """Raise ``InvalidRequest`` where there is no such network, or its pictures cannot be halved from level to level."""
    _, height, width = config.image_shape
    refuse_widths(config.channels, config.multipliers, groups=config.norm_groups or norm_groups(config.channels))
    refuse_sides(height, width, levels=len(config.multipliers))


def disable_dropout(network: Network) -> Network:
    """Set the dropout of a network to 0, in its configuration too: a student must not learn from masked activations."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    network.register_to_config(dropout=0.0)
    return network
