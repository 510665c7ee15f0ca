"""What a network needs before it samples here: a precision, and the batch sizes in which an image is the same."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import nn

from core.catalog.card import Card
from models.data.images import Pictures
from models.sampling.host import multiplies_bf16
from models.sampling.kinds import is_lean
from models.sampling.walker import Walker
from models.training.execution import Precision

REFERENCE_SIZE = 8
"""The batch size that others must equal, bit by bit."""
CPU_SIZES = (1, 2, 4, 8, 16)
"""Sizes that are tried on a CPU. Larger ones are hardly faster, and whoever comes next would wait longer."""
SMALL_SIZES = (*CPU_SIZES, 32, 64)
"""Sizes for small networks, where each call costs more than what it computes."""
CUDA_SIZES = (1, 2, 4, 8, 16, 32, 64, 256)
"""Sizes on a GPU, as many as torch compiles of one network."""
MAX_MEAN_ERROR = 0.5
"""Of an image in bf16 against one in float32, in levels of 255."""
CLOSE_LEVELS = 4
MIN_CLOSE_SHARE = 0.999
"""Share of pixels that must be so close."""
SMALL = 4_000_000
"""Networks of fewer weights are small. They stay in float32 on a CPU: their time is not spent in convolutions."""
MOST_STEPS = 8


@dataclass(frozen=True)
class Ready:
    """A network that can sample; ``facts`` are for logs."""

    walker: Walker
    precision: Precision
    sizes: tuple[int, ...]
    threads: int
    facts: dict[str, Any]


@torch.inference_mode()
def make_ready(network: UNet2DModel, card: Card) -> Ready:
    """Choose precision and sizes by trying them, and so warm up; takes over the network.

    The choice depends on the checkpoint and the machine alone, so that every process here makes the same.
    """
    device, small = next(network.parameters()).device, _is_small(network)
    facts: dict[str, Any] = {}
    if _tries_bf16(network, device):
        walker = Walker(copy.deepcopy(network), card, dtype=torch.float32)
        lower = Walker(network, card, dtype=torch.bfloat16)
        facts = _difference(_try(walker, card), _try(lower, card))
        precision: Precision = "bf16" if facts.pop("agrees") else "fp32"
        walker = lower if precision == "bf16" else walker
    else:
        walker, precision = Walker(network, card, dtype=torch.float32), "fp32"
    if device.type == "cuda":
        walker.network.compile(dynamic=False)  # before sizes are compared, since it chooses kernels by size
    walker.trace(_noise(card, 2))
    sizes = _equal_sizes(walker, card, SMALL_SIZES if small else CPU_SIZES)
    # A small network gains next to nothing by a second core, which whoever serves it can use.
    threads = 1 if small else torch.get_num_threads()
    return Ready(walker, precision, sizes, threads, {"precision": precision, "sizes": sizes, **facts})


def _tries_bf16(network: UNet2DModel, device: torch.device) -> bool:
    if not is_lean(network):
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and not _is_small(network) and multiplies_bf16()


def _is_small(network: nn.Module) -> bool:
    return sum(value.numel() for value in network.parameters()) < SMALL


def _num_steps(card: Card) -> int:
    """The steps of the checkpoint, or a divisor of a teacher's many."""
    return next(steps for steps in range(min(MOST_STEPS, card.num_steps), 0, -1) if card.num_steps % steps == 0)


def _noise(card: Card, count: int) -> torch.Tensor:
    return torch.randn((count, *card.image_shape), generator=torch.Generator().manual_seed(0))


def _try(walker: Walker, card: Card) -> Pictures:
    size = CPU_SIZES[0]
    return walker.pictures(
        _noise(card, size), [seed % (card.num_classes or 1) for seed in range(size)], _num_steps(card)
    )


def _difference(precise: Pictures, other: Pictures) -> dict[str, Any]:
    error = np.abs(precise.astype(np.int16) - other)
    mean, close = float(error.mean()), float((error <= CLOSE_LEVELS).mean())
    agrees = mean <= MAX_MEAN_ERROR and close >= MIN_CLOSE_SHARE
    return {"agrees": agrees, "bf16_mean_error": round(mean, 4), "bf16_close_share": round(close, 5)}


def _equal_sizes(walker: Walker, card: Card, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Those sizes in which the float32 outcome of one step of the network is that of the reference, bit by bit."""
    sizes = CUDA_SIZES if walker.device.type == "cuda" else sizes
    noise = _noise(card, max(sizes)).to(walker.device)
    labels = [index % (card.num_classes or 1) for index in range(len(noise))]

    def in_batches(size: int) -> torch.Tensor:
        # A few single images say as much as many.
        starts = range(0, len(noise) if size >= REFERENCE_SIZE else 2 * REFERENCE_SIZE, size)
        parts = [slice(start, start + size) for start in starts]
        return torch.cat([walker.walk(noise[part], walker.shifts(labels[part], 1), 1) for part in parts])

    expected = in_batches(REFERENCE_SIZE)
    return tuple(size for size in sizes if torch.equal(found := in_batches(size), expected[: len(found)]))
