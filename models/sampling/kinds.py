"""How a network of diffusers samples: lean where that is known to be the same, else as diffusers runs it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.catalog.card import CheckpointError
from models.diffusion.unet import PLAIN_BLOCKS, Config, fields, image_shape_of, is_ours, text_of
from models.sampling.layers import Shifts
from models.sampling.lean import LeanUNet

# diffusers is imported where another kind of network than ours is met.

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


def is_lean(config: Config) -> bool:
    """Whether a network is of the kind that ``LeanUNet`` can run: DDPM's, as every one of ours is.

    A field that a later diffusers adds must have its default there, by which networks are what they were without it.
    """
    return is_ours(config) or all(
        _LEAN.get(name, _one_of(default))(config.get(name, default)) for name, default in fields().items()
    )


class PlainUNet(nn.Module):
    """Any other network of diffusers, called like a lean one. Its weights stay in float32."""

    def __init__(self, config: Config, weights: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32) -> None:
        """Make it of what ``LeanUNet`` is made of; another dtype is that of its convolutions, by autocast."""
        from diffusers.models.unets.unet_2d import UNet2DModel

        super().__init__()
        network = UNet2DModel.from_config(dict(config))
        network.load_state_dict(weights, assign=True)
        self._network = network.to(network.device).eval().requires_grad_(False)
        self._dtype = dtype
        self.num_bytes = sum(value.nbytes for value in network.state_dict().values())

    def shifts(self, row: int, labels: Sequence[int] | None) -> Shifts:
        """Row and classes as the network takes them."""
        device = next(self._network.parameters()).device
        return [torch.tensor([row], device=device), *([] if labels is None else [torch.tensor(labels, device=device)])]

    def forward(self, z_t: Tensor, shifts: Shifts) -> Tensor:
        """As of ``LeanUNet``."""
        row, *labels = shifts
        with nullcontext() if self._dtype is torch.float32 else torch.autocast(z_t.device.type, self._dtype):
            prediction: Tensor = self._network(z_t, row, *labels).sample
        return prediction.float()


def network_of(config: Config, weights: Mapping[str, Tensor], *, dtype: torch.dtype) -> LeanUNet | PlainUNet:
    """The network that samples; arguments and errors as of ``LeanUNet``."""
    if is_ours(config):
        return LeanUNet(config, weights, dtype=dtype)
    if is_lean(config):
        return LeanUNet({**fields(), **config}, weights, dtype=dtype)
    return PlainUNet(config, weights, dtype=dtype)


def without_values(config: Config, weights: Mapping[str, Tensor]) -> LeanUNet | PlainUNet:
    """As ``network_of``, of shapes alone: shows whether weights fit, and can be called to count what is computed."""
    shapes = {name: torch.empty_like(value, device="meta") for name, value in weights.items()}
    return network_of(config, shapes, dtype=torch.float32)


_tried: set[str] = set()


@torch.inference_mode()
def refuse_unlike(config: Config, folder: Path, *, rows: Sequence[int], device: torch.device | str = "cpu") -> None:
    """Call a foreign network once with random weights, as diffusers runs it and as it samples here.

    Every kind is tried once in a process. Trained weights would say less: those that are zero hide what they weigh.

    Args:
        config: Of the network.
        folder: Where it is from, for errors.
        rows: On which it is conditioned; it is called at the last.
        device: Where it is to sample.

    Raises:
        CheckpointError: It cannot be called, or the two differ.
    """
    kind = text_of(config)
    if kind in _tried:
        return
    image_shape, row = image_shape_of(config), rows[-1]
    generator = torch.Generator().manual_seed(0)
    weights = {name: value.to(device) for name, value in _random_weights(config, generator).items()}
    noise = torch.randn((1, *image_shape), generator=generator).to(device)
    classes = config.get("num_class_embeds")
    labels = None if classes is None else [classes - 1]
    try:
        plain = PlainUNet(config, weights)
        expected = plain(noise, plain.shifts(row, labels))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever operators raise on shapes and types that do not fit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{folder}: the network cannot make images of {image_shape}: {reason}") from error
    if expected.shape != noise.shape:
        raise CheckpointError(f"{folder}: of images of {image_shape} the network makes {tuple(expected.shape[1:])}")
    if is_lean(config):
        lean = network_of(config, weights, dtype=torch.float32)
        difference = float((lean(noise, lean.shifts(row, labels)) - expected).abs().max() / expected.std())
        if not difference <= MAX_DIFFERENCE:
            raise CheckpointError(
                f"{folder}: with random weights the network that samples differs from the one that diffusers runs by "
                f"{difference:.3g} standard deviations"
            )
    _tried.add(kind)


def _random_weights(config: Config, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights that matter alike: none is zero, and activations neither vanish nor explode."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    network = UNet2DModel.from_config(dict(config))
    for module in network.modules():
        for name, value in module.named_parameters(recurse=False):
            drawn = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                drawn /= max(value[:1].numel(), 1) ** 0.5
            elif isinstance(module, nn.GroupNorm) and name == "weight":
                drawn = 1 + drawn / 4
            value.copy_(drawn)
    weights: dict[str, Tensor] = network.state_dict()
    return weights
