"""diffusers' ``UNet2DModel`` as it runs for sampling: the same numbers up to rounding, without what training needs.

A diffusion U-Net spends a third of its time on a CPU beside its convolutions, and a small one half of it in Python.
Here what depends on row and class alone is computed once, activations are written in place, queries, keys and values
are one product, and weights lie as the convolutions want them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn
from torch.nn import functional

from models.sampling.host import onednn_takes_bf16

Shifts = Sequence[Tensor]
"""What row and class add in each residual block, (B, C, 1, 1) or (1, C, 1, 1), by the block's index."""


class LeanUNet(nn.Module):
    """A network in one precision, called with images and what ``shifts`` says of their row and classes.

    It takes over the modules of a network that is not to be used any more.

    Attributes:
        architecture: What is computed with the weights, for every network of which it is the same.
        dtype: Of weights and activations.
    """

    def __init__(self, network: UNet2DModel, *, dtype: torch.dtype) -> None:
        """Make a network lean that ``is_lean`` (models/sampling/kinds.py)."""
        super().__init__()
        self.architecture = network.to_json_string()
        self.dtype = dtype
        resnets = [module for module in network.modules() if isinstance(module, ResnetBlock2D)]
        self._widths = [resnet.time_emb_proj.out_features for resnet in resnets]
        self._embed = _Embedding(network, resnets)
        _replace(network, {resnet: _Resnet(resnet, index) for index, resnet in enumerate(resnets)})
        _replace(network, {part: _SelfAttention(part) for part in network.modules() if isinstance(part, Attention)})
        self._conv_in, self._conv_out = network.conv_in, network.conv_out
        self._down, self._mid, self._up = network.down_blocks, network.mid_block, network.up_blocks
        self._norm_out = network.conv_norm_out
        for module in (self._conv_in, self._conv_out, self._down, self._mid, self._up, self._norm_out):
            module.to(dtype=dtype, memory_format=torch.channels_last)
        if packs(next(self._conv_in.parameters()).device, dtype):
            _replace(self, {part: PackedConv(part) for part in self.modules() if isinstance(part, nn.Conv2d)})

    def shifts(self, row: int, labels: Sequence[int] | None) -> Shifts:
        """What all blocks add at a row, for each image of a batch or, without labels, for all alike."""
        vectors = [self._embed(row, label) for label in labels or (None,)]
        return [part[:, :, None, None] for part in torch.stack(vectors).to(self.dtype).split(self._widths, dim=1)]

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights as they are laid out, in which oneDNN pads a few channels to many."""
        return sum(_num_bytes(value) for value in (*self.parameters(), *self.buffers()))

    def weights(self) -> dict[str, Tensor]:
        """All tensors that ``forward`` computes with, by name, once a first call has laid them out."""
        named = (*self.named_parameters(), *self.named_buffers())
        return {name: value for name, value in named if not name.startswith("_embed.")}

    def forward(self, z_t: Tensor, shifts: Shifts) -> Tensor:
        """The prediction, (B, C, H, W) float32, of images (B, C, H, W) float32."""
        hidden = self._conv_in(z_t.to(self.dtype, memory_format=torch.channels_last))
        skipped: tuple[Tensor, ...] = (hidden,)
        for block in self._down:
            hidden, more = block(hidden_states=hidden, temb=shifts)
            skipped += more
        hidden = self._mid(hidden, shifts)
        for block in self._up:
            count = len(block.resnets)
            hidden = block(hidden, skipped[-count:], shifts)
            skipped = skipped[:-count]
        prediction: Tensor = self._conv_out(_norm_silu(hidden, self._norm_out))
        return prediction.float()


class PlainUNet(nn.Module):
    """Any other network of diffusers, called like a lean one. Its weights stay in float32."""

    def __init__(self, network: UNet2DModel, *, dtype: torch.dtype = torch.float32) -> None:
        """Wrap a network; another dtype is that of its convolutions and products, by autocast."""
        super().__init__()
        self._network = network
        self._dtype = dtype
        self.num_bytes = sum(value.nbytes for value in network.state_dict().values())

    def shifts(self, row: int, labels: Sequence[int] | None) -> Shifts:
        """Row and classes as the network takes them."""
        device = next(self._network.parameters()).device
        return [torch.tensor([row], device=device), *([] if labels is None else [torch.tensor(labels, device=device)])]

    def forward(self, z_t: Tensor, shifts: Shifts) -> Tensor:
        """As of ``LeanUNet``."""
        row, *labels = shifts
        with torch.autocast(z_t.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            prediction: Tensor = self._network(z_t, row, *labels).sample
        return prediction.float()


MOST_KNOWN = 1024
"""Rows and classes whose vectors are kept, some ten kilobytes each."""


class _Embedding(nn.Module):
    """(sum of widths,) float32 that row and class add in all blocks; computed one at a time, so for any batch alike."""

    def __init__(self, network: UNet2DModel, resnets: list[ResnetBlock2D]) -> None:
        super().__init__()
        self.time_proj, self.time_embedding = network.time_proj, network.time_embedding
        self.class_embedding = network.class_embedding
        self.projections = nn.ModuleList(resnet.time_emb_proj for resnet in resnets)
        self._known: dict[tuple[int, int | None], Tensor] = {}

    def forward(self, row: int, label: int | None) -> Tensor:
        if (row, label) not in self._known:
            if len(self._known) == MOST_KNOWN:
                self._known.clear()
            self._known[row, label] = self._compute(row, label)
        return self._known[row, label]

    def _compute(self, row: int, label: int | None) -> Tensor:
        device = self.time_embedding.linear_1.weight.device
        embedding = self.time_embedding(self.time_proj(torch.tensor([row], device=device)))
        if label is not None:
            embedding = embedding + self.class_embedding(torch.tensor([label], device=device))
        activated = functional.silu(embedding)
        return torch.cat([projection(activated)[0] for projection in self.projections])


class _Resnet(nn.Module):
    def __init__(self, block: ResnetBlock2D, index: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = block.norm1, block.conv1
        self.norm2, self.conv2 = block.norm2, block.conv2
        self.shortcut = block.conv_shortcut
        self.index = index

    def forward(self, x: Tensor, shifts: Shifts) -> Tensor:
        hidden: Tensor = self.conv1(_norm_silu(x, self.norm1))
        hidden += shifts[self.index]
        hidden = self.conv2(_norm_silu(hidden, self.norm2))
        hidden += x if self.shortcut is None else self.shortcut(x)
        return hidden


class _SelfAttention(nn.Module):
    def __init__(self, part: Attention) -> None:
        super().__init__()
        self.norm, self.heads = part.group_norm, part.heads
        self.qkv = nn.Linear(part.to_q.in_features, 3 * part.to_q.out_features)
        self.out = part.to_out[0]
        for name in ("weight", "bias"):
            joined = torch.cat([getattr(linear, name) for linear in (part.to_q, part.to_k, part.to_v)])
            setattr(self.qkv, name, nn.Parameter(joined, requires_grad=False))
        self.scale = part.scale

    def forward(self, x: Tensor, temb: Shifts | None = None) -> Tensor:  # noqa: ARG002 (some blocks pass it)
        batch, channels, height, width = x.shape
        pixels = group_norm(x, self.norm).permute(0, 2, 3, 1).reshape(batch * height * width, channels)
        heads = self.qkv(pixels).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        attend = attend_by_products if x.device.type == "cpu" else attend_fused
        mixed = attend(query, key, value, self.scale).transpose(1, 2)
        out: Tensor = self.out(mixed.reshape(batch * height * width, -1))
        return out.view(batch, height, width, channels).permute(0, 3, 1, 2).add_(x)


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention of (B, heads, pixels, width) each. One head is the rule, and fused attention is slower on a CPU."""
    shape = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    weights = torch.bmm(query * scale, key.transpose(1, 2)).softmax(-1)
    return torch.bmm(weights, value).view(shape)


def attend_fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The same in one kernel, which on a GPU never writes the weights of pixels by pixels to memory."""
    return functional.scaled_dot_product_attention(query, key, value, scale=scale)


class PackedConv(nn.Module):
    """A convolution whose weights are laid out once, not in each pass, and by one kernel whatever the batch.

    Attributes:
        packed: The weights so laid out, from the first call on.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight: Tensor | None = conv.weight
        self.bias = conv.bias
        self.options = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.packed: Tensor | None
        self.register_buffer("packed", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        padding, stride, dilation, groups = self.options
        if self.packed is None:
            shape = list(x.shape)
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, padding, stride, dilation, groups, shape
            )
            self.weight = None
        assert self.packed is not None
        out: Tensor = _convolve(x, self.packed, self.bias, padding, stride, dilation, groups)
        return out


def _convolve_packed(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, padding, stride, dilation, groups, "none", [], ""
    )
    return out


_convolve = torch.jit.script_if_tracing(_convolve_packed)  # a trace cannot take the empty list by itself


def _num_bytes(value: Tensor) -> int:
    laid_out = value.layout == torch._mkldnn  # type: ignore[attr-defined]
    return int(torch.ops.mkldnn._nbytes(value)) if laid_out else value.nbytes


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN lays out weights here. Its operators are those of torch's compiler; without them all is slower."""
    needed = ("_reorder_convolution_weight", "_convolution_pointwise", "_nbytes")
    return (
        device.type == "cpu"
        and (onednn_takes_bf16() if dtype is torch.bfloat16 else torch.backends.mkldnn.is_available())
        and all(hasattr(torch.ops.mkldnn, name) for name in needed)
    )


def group_norm(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group normalisation of (B, C, H, W) that lies with the channels of a pixel side by side.

    On CPUs torch's kernel for this layout is five times slower on small maps with narrow groups, and sums in
    another order for a single image.
    """
    if x.device.type != "cpu":
        return functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    batch, channels, height, width = x.shape
    size = channels // norm.num_groups
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels).float()
    sums = torch.stack((pixels.sum(1), pixels.square().sum(1)))
    mean, square = sums.view(2, batch, norm.num_groups, size).sum(-1, keepdim=True) / (height * width * size)
    weight = (
        norm.weight.float().view(norm.num_groups, size) * ((square - mean.square()).clamp_min(0) + norm.eps).rsqrt()
    )
    bias = norm.bias.float().view(norm.num_groups, size) - mean * weight
    normed = torch.addcmul(bias.view(batch, 1, channels), pixels, weight.view(batch, 1, channels))
    return normed.to(x.dtype).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _norm_silu(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    return functional.silu(group_norm(x, norm), inplace=True)


def _replace(root: nn.Module, replacements: dict[Any, nn.Module]) -> None:
    for parent in list(root.modules()):
        for name, child in parent.named_children():
            if child in replacements:
                setattr(parent, name, replacements[child])
