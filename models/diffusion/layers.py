"""The layers of a U-Net as it trains: those of diffusers' ``UNet2DModel``, with its names of weights.

They are made in diffusers' order too, so that a seed draws the same fresh weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Resnet(nn.Module):
    """A residual block of DDPM."""

    def __init__(
        self, wide_in: int, wide_out: int, *, wide_time: int, groups: int, eps: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, wide_in, eps)
        self.conv1: nn.Module = nn.Conv2d(wide_in, wide_out, 3, padding=1)
        self.time_emb_proj: nn.Module = nn.Linear(wide_time, wide_out)
        self.norm2 = nn.GroupNorm(groups, wide_out, eps)
        self.dropout = nn.Dropout(dropout)
        self.conv2: nn.Module = nn.Conv2d(wide_out, wide_out, 3, padding=1)
        self.conv_shortcut: nn.Module | None = None if wide_in == wide_out else nn.Conv2d(wide_in, wide_out, 1)

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        """(B, wide_out, H, W) of (B, wide_in, H, W), with row and class (B, wide_time) after their activation."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(activated)[:, :, None, None]
        hidden = self.conv2(self.dropout(functional.silu(self.norm2(hidden))))
        out: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden
        return out


class SelfAttention(nn.Module):
    """Attention of all pixels to all."""

    def __init__(self, width: int, head_width: int, *, groups: int, eps: float) -> None:
        super().__init__()
        self.heads: int = width // head_width
        self.scale: float = head_width**-0.5
        inner = self.heads * head_width
        self.group_norm = nn.GroupNorm(groups, width, eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, inner) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of (B, width, H, W)."""
        batch, channels, height, width = x.shape
        pixels = self.group_norm(x.view(batch, channels, height * width)).transpose(1, 2)
        query, key, value = (
            project(pixels).view(batch, height * width, self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = attend(query, key, value, self.scale).transpose(1, 2).reshape(batch, height * width, -1)
        out: Tensor = self.to_out[0](mixed).transpose(1, 2).reshape(x.shape) + x
        return out


class Downsample(nn.Module):
    """A convolution that halves the picture; without padding it is padded below and on the right alone."""

    def __init__(self, width: int, padding: int) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(width, width, 3, stride=2, padding=padding)
        self.pads = padding == 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H / 2, W / 2) of (B, width, H, W)."""
        out: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)) if self.pads else x)
        return out


class Upsample(nn.Module):
    """Every pixel four times, and a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 2 H, 2 W) of (B, width, H, W)."""
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention of (B, heads, pixels, width) each.

    On a CPU by two products: one head is the rule, and the fused kernel is slower. On a GPU that never writes the
    weights of pixels by pixels to memory.
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    shape = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    weights = torch.bmm(query * scale, key.transpose(1, 2)).softmax(-1)
    return torch.bmm(weights, value).view(shape)
