"""DDPM's U-Net: diffusers' ``UNet2DModel`` with its names of weights, of torch alone.

To import diffusers takes longer than torch and all of ours together, and its network is one for every purpose; this
one is what trains, and what the network that samples is made of.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.diffusion import layers


class Prediction(NamedTuple):
    """What a network of diffusers returns.

    Attributes:
        sample: The prediction, (B, C, H, W).
    """

    sample: Tensor


class Embedder(nn.Module):
    """What makes one vector of row and class, by parts with diffusers' names."""

    config: dict[str, Any]
    time_proj: nn.Embedding | None
    time_embedding: nn.ModuleDict
    class_embedding: nn.Embedding | None

    def embed(self, row: Tensor, class_labels: Tensor | None) -> Tensor:
        """(B, wide_time), activated, of rows and classes (B,) int64."""
        if self.time_proj is None:
            width, shift = self.config["block_out_channels"][0], self.config["freq_shift"]
            waves = sines(row, width=width, shift=shift, cosines_first=self.config["flip_sin_to_cos"])
        else:
            waves = self.time_proj(row)
        embedding = self.time_embedding["linear_2"](functional.silu(self.time_embedding["linear_1"](waves)))
        if class_labels is not None:
            assert self.class_embedding is not None
            embedding = embedding + self.class_embedding(class_labels)
        return functional.silu(embedding)


class UNet(Embedder):
    """A network of a configuration of diffusers' that holds DDPM's blocks.

    Attributes:
        config: All fields of diffusers' network.
    """

    resnet: ClassVar[type[layers.Resnet]] = layers.Resnet
    attention: ClassVar[type[layers.SelfAttention]] = layers.SelfAttention
    downsample: ClassVar[type[layers.Downsample]] = layers.Downsample
    upsample: ClassVar[type[layers.Upsample]] = layers.Upsample

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = {name: value for name, value in config.items() if not name.startswith("_")}
        widths, count = config["block_out_channels"], config["layers_per_block"]
        groups, eps, head_width = config["norm_num_groups"], config["norm_eps"], config["attention_head_dim"]
        wide_time = config["time_embedding_dim"] or 4 * widths[0]
        resnet = partial(self.resnet, wide_time=wide_time, groups=groups, eps=eps, dropout=config["dropout"])

        def attention(width: int, groups: int = groups) -> layers.SelfAttention:
            return self.attention(width, head_width or width, groups=groups, eps=eps)

        def level(kind: str, wide_ins: Sequence[int], width: int) -> "_Level":
            block = _Level()
            for wide_in in wide_ins:
                block.resnets.append(resnet(wide_in, width))
                if kind.startswith("Attn"):
                    block.attentions.append(attention(width))
            return block

        self.conv_in = nn.Conv2d(config["in_channels"], widths[0], 3, padding=1)
        learned = config["time_embedding_type"] == "learned"
        self.time_proj = nn.Embedding(config["num_train_timesteps"], widths[0]) if learned else None
        linears = {"linear_1": nn.Linear(widths[0], wide_time), "linear_2": nn.Linear(wide_time, wide_time)}
        self.time_embedding = nn.ModuleDict(linears)
        classes = config["num_class_embeds"]
        self.class_embedding = None if classes is None else nn.Embedding(classes, wide_time)

        # In diffusers' order, by which the moments of an optimizer are saved.
        self.down_blocks: Any = nn.ModuleList()
        self.up_blocks: Any = nn.ModuleList()
        self.mid_block = _Level()
        before = widths[0]
        for kind, width in zip(config["down_block_types"], widths, strict=True):
            block = level(kind, [before, *[width] * (count - 1)], width)
            if len(self.down_blocks) < len(widths) - 1:
                block.downsamplers.append(self.downsample(width, config["downsample_padding"]))
            self.down_blocks.append(block)
            before = width
        self.mid_block.resnets.append(resnet(before, before))
        if config["add_attention"]:
            self.mid_block.attentions.append(attention(before, config["attn_norm_num_groups"] or groups))
        self.mid_block.resnets.append(resnet(before, before))
        skipped = [widths[0], *widths[:-1]]  # at the end of each level, whose others are as wide as itself
        for kind, width, narrow in zip(config["up_block_types"], widths[::-1], skipped[::-1], strict=True):
            inputs = zip([before, *[width] * count], [*[width] * count, narrow], strict=True)
            block = level(kind, [sum(both) for both in inputs], width)
            if len(self.up_blocks) < len(widths) - 1:
                block.upsamplers.append(self.upsample(width))
            self.up_blocks.append(block)
            before = width

        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps)
        self.conv_out = nn.Conv2d(widths[0], config["out_channels"], 3, padding=1)

    def forward(self, z_t: Tensor, row: Tensor, class_labels: Tensor | None = None) -> Any:  # noqa: ANN401 (LeanUNet's)
        """The prediction of images (B, C, H, W) at rows (B,) int64, of classes (B,) int64 where it knows classes.

        Raises:
            ValueError: Classes are missing, or there are none to be given.
        """
        if (class_labels is None) != (self.class_embedding is None):
            raise ValueError("classes are to be given to a network that knows them, and to no other")
        hidden = self.between(self.conv_in(z_t), self.embed(row, class_labels))
        return Prediction(self.conv_out(functional.silu(self.conv_norm_out(hidden))))

    def register_to_config(self, **changes: Any) -> None:  # noqa: ANN401 (as of diffusers)
        """Change fields of the configuration."""
        self.config |= changes

    def between(self, hidden: Tensor, condition: Any) -> Tensor:  # noqa: ANN401 (of its residual blocks)
        """All that is between the first convolution and the last normalisation."""
        skipped = [hidden]
        for block in self.down_blocks:
            for index in range(len(block.resnets)):
                hidden = block(hidden, condition, index)
                skipped.append(hidden)
            for downsample in block.downsamplers:
                hidden = downsample(hidden)
                skipped.append(hidden)
        for index in range(len(self.mid_block.resnets)):
            hidden = self.mid_block(hidden, condition, index)
        for block in self.up_blocks:
            for index in range(len(block.resnets)):
                hidden = block(torch.cat([hidden, skipped.pop()], dim=1), condition, index)
            for upsample in block.upsamplers:
                hidden = upsample(hidden)
        return hidden


class _Level(nn.Module):
    """Residual blocks, attention after some, and then perhaps another size of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions, self.resnets = nn.ModuleList(), nn.ModuleList()
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(self, hidden: Tensor, condition: Any, index: int) -> Tensor:  # noqa: ANN401 (as above)
        hidden = self.resnets[index](hidden, condition)
        if index < len(self.attentions):
            hidden = self.attentions[index](hidden)
        return hidden


def sines(rows: Tensor, *, width: int, shift: float, cosines_first: bool) -> Tensor:
    """(N, width) float32 of rows (N,), as diffusers' ``get_timestep_embedding``: DDPM's sinusoids of Vaswani et al."""
    half = width // 2
    exponent = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=rows.device) / (half - shift)
    angles = rows[:, None].float() * exponent.exp()
    waves = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return functional.pad(torch.cat(waves, dim=-1), (0, width % 2))
