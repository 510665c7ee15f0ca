"""diffusers' ``UNet2DModel`` as it runs for sampling: the same numbers up to rounding, without what training needs.

A diffusion U-Net spends a third of its time on a CPU beside its convolutions, and a small one half of it in Python.
Here what depends on row and class alone is computed once, and layers are those of ``models.sampling.layers``. It is
made of a checkpoint's files alone: to import diffusers takes longer than to sample with a small network.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.diffusion.unet import text_of
from models.sampling.layers import (
    Downsample,
    PackedConv,
    Resnet,
    SelfAttention,
    Shifts,
    Upsample,
    norm_silu,
    num_bytes,
    packs,
)


class LeanUNet(nn.Module):
    """A network in one precision, called with images and what ``shifts`` says of their row and classes.

    Attributes:
        architecture: What is computed with the weights, for every network of which it is the same.
        dtype: Of weights and activations.
    """

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor], *, dtype: torch.dtype) -> None:
        """Make a network that ``is_lean`` (models/sampling/kinds.py).

        Args:
            config: All fields of diffusers' network.
            weights: Its weights, float32, on the device where it is to be; they are left as they are.
            dtype: As of the attribute.

        Raises:
            RuntimeError, TypeError, ValueError: There is no such network, or the weights are those of another.
        """
        super().__init__()
        self.architecture = text_of(config)
        self.dtype = dtype
        with torch.device("meta"):  # weights come from outside
            self._build(config)
        self.load_state_dict(weights, assign=True)
        self.requires_grad_(False)
        resnets = [module for module in self.modules() if isinstance(module, Resnet)]
        self._widths = [resnet.conv2.out_channels for resnet in resnets]
        embed = _Embedding(self, resnets, config)
        for index, resnet in enumerate(resnets):
            resnet.index = index
            del resnet.time_emb_proj
        for module in list(self.modules()):
            if isinstance(module, SelfAttention):
                module.join()
        del self.time_proj, self.time_embedding, self.class_embedding
        self.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self._embed = embed  # stays in float32
        if packs(self.conv_out.weight.device, dtype):
            for parent in list(self.modules()):
                for name, child in parent.named_children():
                    if isinstance(child, nn.Conv2d):
                        setattr(parent, name, PackedConv(child))

    def _build(self, config: Mapping[str, Any]) -> None:
        """All layers, named as diffusers names them."""
        widths, count = config["block_out_channels"], config["layers_per_block"]
        groups, eps, head_width = config["norm_num_groups"], config["norm_eps"], config["attention_head_dim"]
        wide_time = config["time_embedding_dim"] or 4 * widths[0]
        resnet = partial(Resnet, wide_time=wide_time, groups=groups, eps=eps)

        def attention(width: int, groups: int = groups) -> SelfAttention:
            return SelfAttention(width, head_width or width, groups=groups, eps=eps)

        def level(kind: str, wide_ins: Sequence[int], width: int) -> "_Level":
            resnets = [resnet(wide_in, width) for wide_in in wide_ins]
            return _Level(resnets, [attention(width) for _ in resnets] if kind.startswith("Attn") else [])

        self.conv_in = nn.Conv2d(config["in_channels"], widths[0], 3, padding=1)
        learned = config["time_embedding_type"] == "learned"
        self.time_proj = nn.Embedding(config["num_train_timesteps"], widths[0]) if learned else None
        linears = {"linear_1": nn.Linear(widths[0], wide_time), "linear_2": nn.Linear(wide_time, wide_time)}
        self.time_embedding = nn.ModuleDict(linears)
        classes = config["num_class_embeds"]
        self.class_embedding = None if classes is None else nn.Embedding(classes, wide_time)

        self.down_blocks: Any = nn.ModuleList()
        before = widths[0]
        for kind, width in zip(config["down_block_types"], widths, strict=True):
            block = level(kind, [before, *[width] * (count - 1)], width)
            if len(self.down_blocks) < len(widths) - 1:
                block.downsamplers.append(Downsample(width, config["downsample_padding"]))
            self.down_blocks.append(block)
            before = width
        attentions = [attention(before, config["attn_norm_num_groups"] or groups)] if config["add_attention"] else []
        self.mid_block = _Level([resnet(before, before), resnet(before, before)], attentions)
        self.up_blocks: Any = nn.ModuleList()
        skipped = [widths[0], *widths[:-1]]  # at the end of each level, whose others are as wide as itself
        for kind, width, narrow in zip(config["up_block_types"], widths[::-1], skipped[::-1], strict=True):
            inputs = zip([before, *[width] * count], [*[width] * count, narrow], strict=True)
            block = level(kind, [sum(both) for both in inputs], width)
            if len(self.up_blocks) < len(widths) - 1:
                block.upsamplers.append(Upsample(width))
            self.up_blocks.append(block)
            before = width

        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps)
        self.conv_out = nn.Conv2d(widths[0], config["out_channels"], 3, padding=1)

    def shifts(self, row: int, labels: Sequence[int] | None) -> Shifts:
        """What all blocks add at a row, for each image of a batch or, without labels, for all alike."""
        vectors = [self._embed(row, label) for label in labels or (None,)]
        return [part[:, :, None, None] for part in torch.stack(vectors).to(self.dtype).split(self._widths, dim=1)]

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights as they are laid out, in which oneDNN pads a few channels to many."""
        return sum(num_bytes(value) for value in (*self.parameters(), *self.buffers()))

    def weights(self) -> dict[str, Tensor]:
        """All tensors that ``forward`` computes with, by name, once a first call has laid them out."""
        named = (*self.named_parameters(), *self.named_buffers())
        return {name: value for name, value in named if not name.startswith("_embed.")}

    def forward(self, z_t: Tensor, shifts: Shifts) -> Tensor:
        """The prediction, (B, C, H, W) float32, of images (B, C, H, W) float32."""
        hidden: Tensor = self.conv_in(z_t.to(self.dtype, memory_format=torch.channels_last))
        skipped = [hidden]
        for block in self.down_blocks:
            for index in range(block.count):
                hidden = block(hidden, shifts, index)
                skipped.append(hidden)
            for downsample in block.downsamplers:
                hidden = downsample(hidden)
                skipped.append(hidden)
        for index in range(self.mid_block.count):
            hidden = self.mid_block(hidden, shifts, index)
        for block in self.up_blocks:
            for index in range(block.count):
                hidden = block(torch.cat([hidden, skipped.pop()], dim=1), shifts, index)
            for upsample in block.upsamplers:
                hidden = upsample(hidden)
        prediction: Tensor = self.conv_out(norm_silu(hidden, self.conv_norm_out))
        return prediction.float()


class _Level(nn.Module):
    """Residual blocks, attention after some, and then perhaps another size of the picture."""

    def __init__(self, resnets: Sequence[Resnet], attentions: Sequence[SelfAttention]) -> None:
        super().__init__()
        self.count = len(resnets)
        self.resnets, self.attentions = nn.ModuleList(resnets), nn.ModuleList(attentions)
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(self, hidden: Tensor, shifts: Shifts, index: int) -> Tensor:
        hidden = self.resnets[index](hidden, shifts)
        if index < len(self.attentions):
            hidden = self.attentions[index](hidden)
        return hidden


MOST_KNOWN = 1024
"""Rows and classes whose vectors are kept, some ten kilobytes each."""


class _Embedding(nn.Module):
    """(sum of widths,) float32 that row and class add in all blocks; computed one at a time, so for any batch alike."""

    def __init__(self, network: LeanUNet, resnets: Sequence[Resnet], config: Mapping[str, Any]) -> None:
        super().__init__()
        self.time_proj, self.class_embedding = network.time_proj, network.class_embedding
        self.linear_1, self.linear_2 = network.time_embedding["linear_1"], network.time_embedding["linear_2"]
        self.projections = nn.ModuleList(resnet.time_emb_proj for resnet in resnets)
        self._sines = partial(
            sines,
            width=config["block_out_channels"][0],
            shift=config["freq_shift"],
            cosines_first=config["flip_sin_to_cos"],
        )
        self._known: dict[tuple[int, int | None], Tensor] = {}

    def forward(self, row: int, label: int | None) -> Tensor:
        vector = self._known.get((row, label))
        if vector is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            vector = self._known[row, label] = self._compute(row, label)
        return vector

    def _compute(self, row: int, label: int | None) -> Tensor:
        device = next(self.parameters()).device
        rows = torch.tensor([row], device=device)
        embedding = self._sines(rows) if self.time_proj is None else self.time_proj(rows)
        embedding = self.linear_2(functional.silu(self.linear_1(embedding)))
        if label is not None:
            assert self.class_embedding is not None
            embedding = embedding + self.class_embedding(torch.tensor([label], device=device))
        activated = functional.silu(embedding)
        return torch.cat([projection(activated)[0] for projection in self.projections])


def sines(rows: Tensor, *, width: int, shift: float, cosines_first: bool) -> Tensor:
    """(N, width) float32 of rows (N,), as diffusers' ``get_timestep_embedding``: DDPM's sinusoids of Vaswani et al."""
    half = width // 2
    exponent = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=rows.device) / (half - shift)
    angles = rows[:, None].float() * exponent.exp()
    waves = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return functional.pad(torch.cat(waves, dim=-1), (0, width % 2))
