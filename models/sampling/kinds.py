"""Which networks of diffusers the lean one can stand for, and a trial of foreign ones."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import nn

from core.catalog.card import CheckpointError
from models.diffusion.unet import FIELDS, PLAIN_BLOCKS, image_shape_of
from models.sampling.lean import LeanUNet, PlainUNet

MAX_DIFFERENCE = 0.01
"""Between the predictions of both networks, in standard deviations. Rounding in float32 makes a thousandth of it, an
overlooked switch a dozen times as much; between them is room for GPUs that multiply in TF32."""


def _any(value: object) -> bool:  # noqa: ARG001 (what it is about)
    return True


def _one_of(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


def _plain_blocks(value: Any) -> bool:  # noqa: ANN401 (what a file says)
    return PLAIN_BLOCKS.issuperset(name.removeprefix("UNetRes") for name in value)


_LEAN: Mapping[str, Callable[[Any], bool]] = {
    # What shapes of weights say.
    "in_channels": _any,
    "out_channels": _any,
    "time_embedding_dim": _any,
    "block_out_channels": _any,
    "layers_per_block": _any,
    "num_class_embeds": _any,
    "num_train_timesteps": _any,
    # What modules do that are taken over as they are.
    "freq_shift": _any,
    "flip_sin_to_cos": _any,
    "downsample_padding": _any,
    "norm_num_groups": _any,
    "attn_norm_num_groups": _any,
    "norm_eps": _any,
    "add_attention": _any,
    # Handled.
    "attention_head_dim": _any,
    # Irrelevant: images have the shape of the noise, and nothing is dropped out of samples.
    "sample_size": _any,
    "dropout": _any,
    # Switches that only diffusers knows.
    "center_input_sample": _one_of(False),
    "time_embedding_type": _one_of("positional", "learned"),
    "class_embed_type": _one_of(None),
    "down_block_types": _plain_blocks,
    "up_block_types": _plain_blocks,
    "mid_block_type": _one_of("UNetMidBlock2D"),
    "mid_block_scale_factor": _one_of(1),
    "downsample_type": _one_of("conv"),
    "upsample_type": _one_of("conv"),
    "act_fn": _one_of("silu", "swish"),
    "resnet_time_scale_shift": _one_of("default"),
}
"""Every field of a network's configuration, and the values with which the lean network computes what diffusers does."""


def is_lean(network: UNet2DModel) -> bool:
    """Whether a network is of the kind that ``LeanUNet`` can run: DDPM's, as every one of ours is.

    A field that a later diffusers adds must have its default there, by which networks are what they were without it.
    """
    config = network.config
    return all(_LEAN.get(name, _one_of(default))(config[name]) for name, default in FIELDS.items()) and all(
        _is_plain_resnet(module) if isinstance(module, ResnetBlock2D) else _is_plain_attention(module)
        for module in network.modules()
        if isinstance(module, ResnetBlock2D | Attention)
    )


_tried: set[str] = set()


@torch.inference_mode()
def refuse_unlike(network: UNet2DModel, folder: Path, *, rows: Sequence[int]) -> None:
    """Call a foreign network once with random weights, as diffusers runs it and as it samples here.

    Every kind is tried once in a process. Trained weights would say less: those that are zero hide what they weigh.

    Args:
        network: Is left as it is.
        folder: Where it is from, for errors.
        rows: On which it is conditioned; it is called at the last.

    Raises:
        CheckpointError: It cannot be called, or the two differ.
    """
    kind = network.to_json_string()
    if kind in _tried:
        return
    image_shape = image_shape_of(network)
    generator = torch.Generator().manual_seed(0)
    trial = _with_random_weights(network, generator)
    device, row = next(network.parameters()).device, rows[-1]
    noise = torch.randn((1, *image_shape), generator=generator).to(device)
    classes = network.config.num_class_embeds
    labels = None if classes is None else [classes - 1]
    plain = PlainUNet(trial)
    try:
        expected = plain(noise, plain.shifts(row, labels))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever operators raise on shapes and types that do not fit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{folder}: the network cannot make images of {image_shape}: {reason}") from error
    if expected.shape != noise.shape:
        raise CheckpointError(f"{folder}: of images of {image_shape} the network makes {tuple(expected.shape[1:])}")
    if is_lean(network):
        lean = LeanUNet(trial, dtype=torch.float32)
        difference = float((lean(noise, lean.shifts(row, labels)) - expected).abs().max() / expected.std())
        if not difference <= MAX_DIFFERENCE:
            raise CheckpointError(
                f"{folder}: with random weights the network that samples differs from the one that diffusers runs by "
                f"{difference:.3g} standard deviations"
            )
    _tried.add(kind)


def _with_random_weights(network: UNet2DModel, generator: torch.Generator) -> UNet2DModel:
    """A copy whose weights matter alike: none is zero, and activations neither vanish nor explode."""
    trial = copy.deepcopy(network).float()
    for module in trial.modules():
        for name, value in module.named_parameters(recurse=False):
            drawn = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                drawn /= max(value[:1].numel(), 1) ** 0.5
            elif isinstance(module, nn.GroupNorm) and name == "weight":
                drawn = 1 + drawn / 4
            value.copy_(drawn)
    return trial


def _is_plain_resnet(block: ResnetBlock2D) -> bool:
    return (
        block.time_emb_proj is not None
        and block.time_embedding_norm == "default"
        and block.upsample is None
        and block.downsample is None
        and isinstance(block.nonlinearity, nn.SiLU)
        and block.output_scale_factor == 1
    )


def _is_plain_attention(part: Attention) -> bool:
    return (
        isinstance(part.group_norm, nn.GroupNorm)
        and part.spatial_norm is None
        and part.norm_q is None
        and part.to_q.bias is not None
        and part.residual_connection
        and part.rescale_output_factor == 1
    )
