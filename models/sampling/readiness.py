"""What a network needs before it samples here: a precision, and the batch sizes in which an image is the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.catalog.card import Card
from models.checkpoints.stored import Stored
from models.data.images import Pictures
from models.diffusion.unet import Config, text_of
from models.sampling.ceiling import DTYPES
from models.sampling.compiled import obstacle
from models.sampling.host import multiplies_bf16, refuse_lost
from models.sampling.kinds import is_lean
from models.sampling.lanes import cores
from models.sampling.walker import Walker
from models.training.execution import AskedPrecision, Precision

REFERENCE_SIZE = 8
"""The batch size that others must equal, bit by bit."""
CPU_SIZES = (1, 2, 4, 8, 16)
"""Sizes that are tried on a CPU. Larger ones are hardly faster, and whoever comes next would wait longer."""
SMALL_SIZES = (*CPU_SIZES, 32, 64)
"""Sizes for small networks, where each call costs more than what it computes."""
CUDA_SIZES = (8, 64, 256)
"""Sizes on a GPU. Few, since each is compiled, which takes a minute; fewer images than 8 take hardly less time."""
MAX_MEAN_ERROR = 0.5
"""Of an image in bf16 against one in float32, in levels of 255."""
CLOSE_LEVELS = 4
MIN_CLOSE_SHARE = 0.999
"""Share of pixels that must be so close."""
SMALL = 4_000_000
"""Networks of fewer weights are small. They stay in float32 on a CPU: their time is not spent in convolutions."""
_equal_on_cpu: dict[tuple[object, ...], tuple[int, ...]] = {}
MOST_STEPS = 8
MOST_REASON = 300
"""Characters of why a network was not compiled."""


@dataclass(frozen=True)
class Ready:
    """A network that can sample; ``facts`` are for logs."""

    walker: Walker
    precision: Precision
    sizes: tuple[int, ...]
    threads: int
    facts: dict[str, Any]


@torch.inference_mode()
def make_ready(
    stored: Stored,
    precision: AskedPrecision = "auto",
    *,
    compiled: bool = True,
    between_sizes: Callable[[], None] = lambda: None,
) -> Ready:
    """Choose what is left open of the precision, and sizes, by trying them, and so warm up.

    The choice depends on the checkpoint and the machine alone, so that every process here makes the same; that of sizes
    on a CPU on nothing of the checkpoint but its architecture, so that it is made once for all of a family.

    Args:
        stored: The checkpoint, its weights on the device where they are to be.
        precision: What is asked for.
        compiled: Whether to compile it on a GPU, if that can be done here.
        between_sizes: Called before each size is tried, which may take a minute where it is compiled.
    """
    card, small = stored.card, _is_small(stored.weights)
    facts: dict[str, Any] = {}
    taken: Precision = "fp32"
    walker = Walker(stored, dtype=torch.float32)
    if precision == "bf16" or (precision == "auto" and _tries_bf16(stored.config, stored.weights)):
        lower = Walker(stored, dtype=torch.bfloat16)
        facts = _difference(_try(walker, card), _try(lower, card))
        if facts.pop("agrees") or precision == "bf16":
            walker, taken = lower, "bf16"
    if walker.device.type == "cuda":
        sizes, facts["compiled"] = _sizes_on_gpu(walker, card, compiled=compiled, between_sizes=between_sizes)
    else:
        walker.trace(walker.example(2))
        sizes = _sizes_on_cpu(stored, taken, SMALL_SIZES if small else CPU_SIZES)
    # A small network gains next to nothing by a second core, which whoever serves it can use.
    threads = 1 if small else cores()
    return Ready(walker, taken, sizes, threads, {"precision": taken, "sizes": sizes, **facts})


def _tries_bf16(config: Config, weights: Mapping[str, Tensor]) -> bool:
    if not is_lean(config):
        return False
    device = next(iter(weights.values())).device
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and not _is_small(weights) and multiplies_bf16()


def _is_small(weights: Mapping[str, Tensor]) -> bool:
    return sum(value.numel() for value in weights.values()) < SMALL


def _try(walker: Walker, card: Card) -> Pictures:
    size = CPU_SIZES[0]
    return walker.pictures(
        walker.example(size), [seed % (card.num_classes or 1) for seed in range(size)], card.steps_up_to(MOST_STEPS)
    )


def _difference(precise: Pictures, other: Pictures) -> dict[str, Any]:
    error = np.abs(precise.astype(np.int16) - other)
    mean, close = float(error.mean()), float((error <= CLOSE_LEVELS).mean())
    agrees = mean <= MAX_MEAN_ERROR and close >= MIN_CLOSE_SHARE
    return {"agrees": agrees, "bf16_mean_error": round(mean, 4), "bf16_close_share": round(close, 5)}


def _sizes_on_cpu(stored: Stored, precision: Precision, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Those to use for networks of this architecture, tried with weights by chance: which kernels run they do not say.

    With the checkpoint's own, one that computes nothing, as of zeros, would find all sizes fit also for others.
    """
    card = stored.card
    walk = (card.image_shape, card.num_classes, card.prediction_type, card.last_step, card.steps_up_to(1))
    key = (text_of(stored.config), precision, sizes, *walk, torch.get_num_threads())
    if key not in _equal_on_cpu:
        walker = Walker(replace(stored, weights=_by_chance(stored.weights)), dtype=DTYPES[precision])
        walker.trace(walker.example(2))
        _equal_on_cpu[key] = _equal_sizes(walker, card, sizes)
    return _equal_on_cpu[key]


def _by_chance(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that keep about the size of what passes through them; scales and offsets are about 1."""
    generator = torch.Generator().manual_seed(0)

    def like(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        drawn = torch.randn(value.shape, generator=generator)
        return (drawn / value[0].numel() ** 0.5 if value.ndim > 1 else 1 + drawn / 10).to(value.dtype)

    return {name: like(value) for name, value in weights.items()}


def _equal_sizes(walker: Walker, card: Card, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Those sizes in which the outcome is that of the reference, bit by bit."""
    return next(group for group in _groups(walker, card, sizes) if REFERENCE_SIZE in group)


def _sizes_on_gpu(
    walker: Walker, card: Card, *, compiled: bool, between_sizes: Callable[[], None]
) -> tuple[tuple[int, ...], bool | str]:
    """The sizes to use, and whether the network is compiled, or why it is not though it was to be."""
    reason = obstacle() if compiled else ""
    if compiled and not reason:
        walker.compile()  # before sizes are compared, since it chooses kernels by size
        given_up: list[BaseException] = []

        def between() -> None:
            try:
                between_sizes()
            except BaseException as error:
                given_up.append(error)
                raise

        try:
            return best_group(_groups(walker, card, CUDA_SIZES, between)), True
        except Exception as error:  # whatever compilers raise
            if given_up or isinstance(error, torch.OutOfMemoryError):
                raise
            refuse_lost(walker.device)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:MOST_REASON]
            walker.run_eagerly()
    return best_group(_groups(walker, card, CUDA_SIZES, between_sizes)), reason or False


def best_group(groups: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The group of most sizes, of those as large the one with the largest: the larger a batch, the faster a GPU.

    By count and not by time, so that every process takes the same group, and images are the same in each.
    """
    return max(groups, key=lambda group: (len(group), group[-1]))


def _groups(
    walker: Walker, card: Card, sizes: tuple[int, ...], between_sizes: Callable[[], None] = lambda: None
) -> list[tuple[int, ...]]:
    """Sizes, each with those in which the float32 outcome of one step of the network is the same, bit by bit."""
    noise = walker.example(max(sizes)).to(walker.device)
    labels = [index % (card.num_classes or 1) for index in range(len(noise))]

    def in_batches(size: int) -> torch.Tensor:
        between_sizes()
        # One batch says as much as many, or so many small ones.
        most = len(noise) if size == REFERENCE_SIZE else max(size, REFERENCE_SIZE)
        starts = range(0, most, size)
        parts = [slice(start, start + size) for start in starts]
        steps = walker.fewest_steps
        return torch.cat([walker.walk(noise[part], walker.shifts(labels[part], steps), steps) for part in parts])

    # The reference has all images, so that others can be compared with its.
    groups: list[tuple[torch.Tensor, tuple[int, ...]]] = [(in_batches(REFERENCE_SIZE), (REFERENCE_SIZE,))]
    for size in sizes:
        if size == REFERENCE_SIZE:
            continue
        found = in_batches(size)
        for index, (expected, group) in enumerate(groups):
            count = min(len(found), len(expected))
            if torch.equal(found[:count], expected[:count]):
                groups[index] = (expected, tuple(sorted((*group, size))))
                break
        else:
            groups.append((found, (size,)))
    return [group for _, group in groups]
