"""The layers of a network that samples: each the numbers of the one that trains up to rounding, in fewer operators.

Activations are written in place, queries, keys and values are one product, and weights lie as convolutions want them.
What row and class add comes from outside. Names of weights are diffusers', until ``join``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.diffusion import layers
from models.sampling.host import onednn_takes_bf16

Shifts = Sequence[Tensor]
"""What row and class add in each residual block, (B, C, 1, 1) or (1, C, 1, 1), by the block's index."""

MANY = 64
"""Images from which on CUDA's kernel for pixels side by side has failed."""


class Resnet(layers.Resnet):
    """A residual block to which row and class come as a shift.

    Attributes:
        index: Of what is added to it.
    """

    index = 0

    def forward(self, x: Tensor, shifts: Shifts) -> Tensor:  # type: ignore[override]  # of all blocks  # noqa: D102
        hidden: Tensor = self.conv1(norm_silu(x, self.norm1))
        hidden += shifts[self.index]
        hidden = self.conv2(norm_silu(hidden, self.norm2))
        hidden += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return hidden


class SelfAttention(layers.SelfAttention):
    """Attention of all pixels to all, of one product in place of three."""

    def join(self) -> None:
        """Make it of them."""
        parts = (self.to_q, self.to_k, self.to_v)
        width, inner, device = self.to_q.in_features, self.to_q.out_features, self.to_q.weight.device
        self.qkv = nn.Linear(width, 3 * inner, device=device).requires_grad_(False)
        for name in ("weight", "bias"):
            # No torch.cat: without values, on shapes alone, it would import torch's compiler, which takes a second.
            for third, part in zip(getattr(self.qkv, name).chunk(3), parts, strict=True):
                third.copy_(getattr(part, name))
        del self.to_q, self.to_k, self.to_v

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        batch, channels, height, width = x.shape
        pixels = group_norm(x, self.group_norm).permute(0, 2, 3, 1).reshape(batch * height * width, channels)
        heads = self.qkv(pixels).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        mixed = layers.attend(query, key, value, self.scale).transpose(1, 2)
        out: Tensor = self.to_out[0](mixed.reshape(batch * height * width, -1))
        return out.view(batch, height, width, channels).permute(0, 3, 1, 2).add_(x)


class Upsample(layers.Upsample):
    """Every pixel four times, and a convolution."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(x.contiguous() if len(x) >= MANY else x)


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


def num_bytes(value: Tensor) -> int:
    """Bytes of a tensor in any layout."""
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


def norm_silu(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group normalisation and SiLU."""
    return functional.silu(group_norm(x, norm), inplace=True)
