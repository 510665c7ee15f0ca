"""What a process that samples or trains on a CPU asks of its host."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch.nn import functional

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = 2**30


def keep_memory() -> None:
    """Let glibc keep what is freed, instead of giving it to the kernel and taking it back in every layer.

    Page faults were a tenth of the time of a large network, and a sixth in a thread that is not the main one: its own
    arena is given back whatever the thresholds say, so all threads share one. What is kept is bounded by what a batch
    needs. Elsewhere than on glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_THRESHOLD, _KEEP)
            mallopt(_M_TRIM_THRESHOLD, _KEEP)
            mallopt(_M_ARENA_MAX, 1)


def processor(device: torch.device) -> str:
    """The kind of a device, within which the same network gives the same bits: a GPU's model, a CPU's instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}{' bf16' if multiplies_bf16() else ''}"


@contextmanager
def current(device: torch.device) -> Iterator[None]:
    """Makes a GPU the current one of this thread, on which streams are made and graphs recorded; elsewhere nothing."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield


def refuse_lost(device: torch.device) -> None:
    """Raise torch's error of a GPU that does nothing any more in this process, as after an illegal access.

    Every later call fails too, whatever it is; only a new process can use the GPU again.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def is_lost(device: torch.device | None = None) -> bool:
    """Whether a GPU is; without a device, the current one of this thread, if this process has used any."""
    try:
        if device is not None:
            refuse_lost(device)
        elif torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def onednn_takes_bf16() -> bool:
    """Whether torch has oneDNN and that takes bf16 on this processor, with as much of it as it is allowed to use.

    ``ONEDNN_MAX_CPU_ISA`` allows it less, and what is not allowed counts as not there. Where the answer is no, torch's
    own kernels work in bf16, many times slower than in float32.
    """
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.backends.mkldnn.is_available() and supported is not None and bool(supported())


@torch.inference_mode()
def multiplies_bf16() -> bool:
    """Whether convolutions in bf16 are made of the processor's instructions for it, and so faster than in float32.

    oneDNN takes bf16 on processors without them too, by way of float32, and torch does not tell which of the two it
    does. The numbers do: those instructions take what is below the smallest normal number for 0, float32 does not. That
    is the same each time, unlike a measurement of time.
    """
    if not onednn_takes_bf16():
        return False
    tiny = torch.full((1, 64, 8, 8), 2.0**-130, dtype=torch.bfloat16)
    large = torch.full((64, 64, 3, 3), 2.0**20, dtype=torch.bfloat16)
    return not functional.conv2d(tiny, large, padding=1).any()
