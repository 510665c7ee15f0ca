"""What a device could do at most: the convolution that utilisation is measured against."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from models.sampling.host import current
from models.training.execution import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CHANNELS, SIDE = 256, 32


CALLS_OF_GPU = 50
"""Convolutions that are sent to a GPU before it is waited for, or sending one would be measured."""


def seconds(call: Callable[[], object], at_least: float) -> float:
    """Median seconds of a call, after one that is not counted, of two or more that take ``at_least`` seconds."""
    call()
    taken: list[float] = []
    while sum(taken) < at_least or len(taken) < 2:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[len(taken) // 2]


@torch.inference_mode()
def ceiling(precision: Precision, device: torch.device, at_least: float, *, batch: int | None = None) -> float:
    """FLOP/s of a 256-channel 3x3 convolution on 32x32 pixels, in the faster of both memory layouts.

    Args:
        precision: To compute in.
        device: Where.
        at_least: Seconds to spend on each layout.
        batch: Images at once, by default 256 on a GPU and 16 elsewhere; fewer are quicker and, on a CPU, as fast.
    """
    best = 0.0
    calls = CALLS_OF_GPU if device.type == "cuda" else 1
    batch = batch or (256 if device.type == "cuda" else 16)
    flops = 2 * 9 * CHANNELS**2 * batch * SIDE**2
    like: dict[str, Any] = {"device": device, "dtype": DTYPES[precision]}
    with current(device):
        for layout in (torch.channels_last, torch.contiguous_format):
            conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, **like)
            conv.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's stubs
            x = torch.randn(batch, CHANNELS, SIDE, SIDE, **like).to(memory_format=layout)
            best = max(best, calls * flops / seconds(partial(_again, conv, x, calls), at_least))
    return best


def _again(conv: nn.Module, x: torch.Tensor, calls: int) -> None:
    for _ in range(calls):
        conv(x)
