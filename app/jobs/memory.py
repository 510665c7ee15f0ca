"""How much memory a round of distillation takes, well enough to refuse what is absurd."""

from typing import Any

FLOAT_BYTES = 4
COPIES = 5
"""Of the weights: student, gradient, two moments of Adam, teacher."""
TENSORS_PER_BLOCK = 16
"""Activations kept for the gradient in each residual block, of its width and resolution. With it, the paper's CIFAR
network (35.7M weights, 32x32) at batch 16 comes to the 2.3 GB that it was measured at."""
RUNTIME_BYTES = 500_000_000
"""Python, torch and its libraries."""


def weight_bytes(parameters: int) -> int:
    """What does not depend on the batch."""
    return RUNTIME_BYTES + COPIES * FLOAT_BYTES * parameters


def image_bytes(unet: dict[str, Any], image_shape: tuple[int, int, int]) -> int:
    """What each image of a batch adds.

    Args:
        unet: The network's ``config.json`` as diffusers writes it.
        image_shape: Channels, height, width.
    """
    _, height, width = image_shape
    widths: list[int] = unet["block_out_channels"]
    # Down, and up again with one block more.
    blocks = 2 * int(unet["layers_per_block"]) + 1
    values = sum(channels * (height >> level) * (width >> level) for level, channels in enumerate(widths))
    return FLOAT_BYTES * TENSORS_PER_BLOCK * blocks * values


def in_words(size: int) -> str:
    """A number of bytes for a person."""
    return f"{size / 2**30:.1f} GiB"
