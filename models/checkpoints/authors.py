"""Reading checkpoints of the CFD authors' own code (``ckpt.pt``) into our U-Net."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.catalog.card import PAPER_SCHEDULE, CheckpointError, NoiseSchedule, PredictionType
from models.diffusion.network import UNet
from models.diffusion.schedule import COSINE_ROWS, step_rows
from models.diffusion.unet import UNetConfig, build_unet

# The authors' name of each part of a residual block, and diffusers'.
_RESIDUAL = {
    "block1.0": "norm1",
    "block1.2": "conv1",
    "temb_proj.1": "time_emb_proj",
    "block2.0": "norm2",
    "block2.3": "conv2",
    "shortcut": "conv_shortcut",
}
_ATTENTION = {
    "attn.group_norm": "group_norm",
    "attn.proj_q": "to_q",
    "attn.proj_k": "to_k",
    "attn.proj_v": "to_v",
    "attn.proj": "to_out.0",
}
_ENDS = {
    "head": "conv_in",
    "tail.0": "conv_norm_out",
    "tail.2": "conv_out",
    "time_embedding.timembedding.1": "time_embedding.linear_1",
    "time_embedding.timembedding.3": "time_embedding.linear_2",
}


def authors_config(state: Mapping[str, Tensor], *, image_size: tuple[int, int] = (32, 32)) -> UNetConfig:
    """The size of the authors' U-Net, read off the shapes in its state dict."""
    channels, image_channels = state["head.weight"].shape[:2]
    multipliers, attention_levels, blocks = [], [], [0]
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("downblocks."))
    for index in range(count):
        if f"downblocks.{index}.main.weight" in state:  # halves the picture and ends the level
            blocks.append(0)
            continue
        level = len(blocks) - 1
        if blocks[level] == 0:
            multipliers.append(state[f"downblocks.{index}.block1.2.weight"].shape[0] // channels)
            if f"downblocks.{index}.attn.proj.weight" in state:
                attention_levels.append(level)
        blocks[level] += 1
    return UNetConfig(
        image_shape=(image_channels, *image_size),
        channels=channels,
        multipliers=tuple(multipliers),
        attention_levels=tuple(attention_levels),
        blocks=blocks[0],
        norm_groups=32,
    )


def authors_names(config: UNetConfig) -> dict[str, str]:
    """Module names of the authors' U-Net and the names of the same modules in ``UNet2DModel``."""
    names = dict(_ENDS)

    def block(theirs: str, residual: str, attention: str) -> None:
        names.update({f"{theirs}.{a}": f"{residual}.{b}" for a, b in _RESIDUAL.items()})
        names.update({f"{theirs}.{a}": f"{attention}.{b}" for a, b in _ATTENTION.items()})

    block("middleblocks.0", "mid_block.resnets.0", "mid_block.attentions.0")
    block("middleblocks.1", "mid_block.resnets.1", "mid_block.attentions.1")
    # Theirs are flat lists in which a change of resolution stands between the levels.
    levels = len(config.multipliers)
    for side, blocks, resample in (("down", config.blocks, "downsamplers"), ("up", config.blocks + 1, "upsamplers")):
        for level in range(levels):
            ours = f"{side}_blocks.{level}"
            first = level * (blocks + 1)
            for index in range(blocks):
                block(f"{side}blocks.{first + index}", f"{ours}.resnets.{index}", f"{ours}.attentions.{index}")
            if level < levels - 1:
                names[f"{side}blocks.{first + blocks}.main"] = f"{ours}.{resample}.0.conv"
    return names


def load_authors_unet(state: Mapping[str, Tensor], *, image_size: tuple[int, int] = (32, 32)) -> UNet:
    """Our U-Net with the authors' weights.

    Their time embedding interleaves sines and cosines where diffusers puts all sines first, so the columns of the layer
    that reads it are permuted; their attention is 1x1 convolutions, diffusers' is linear layers.

    Raises:
        CheckpointError: The state dict is not that of the authors' U-Net.
    """
    try:
        config = authors_config(state, image_size=image_size)
        unet = build_unet(config)
        names = authors_names(config)
        expected = unet.state_dict()
        converted = {}
        for name, value in state.items():
            module, _, kind = name.rpartition(".")
            if module == "time_embedding.timembedding.0":  # the fixed table of sines and cosines
                continue
            ours = f"{names[module]}.{kind}"
            if ours == "time_embedding.linear_1.weight":
                value = torch.cat([value[:, 0::2], value[:, 1::2]], dim=1)
            converted[ours] = value.reshape(expected[ours].shape)
        unet.load_state_dict(converted)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(f"not a state dict of the CFD authors' U-Net: {error}") from error
    return unet.eval()


@dataclass(frozen=True)
class AuthorsCheckpoint:
    """What a ``ckpt.pt`` holds.

    Attributes:
        network: Their network as ours.
        rows: The rows it was trained for, from clean to noise.
        schedule: The table they index.
        prediction_type: What their code trains; the file does not say.
        weights: Which weights are taken, and which were found besides; a sentence for people.
    """

    network: UNet
    rows: tuple[int, ...]
    weights: str
    schedule: NoiseSchedule = PAPER_SCHEDULE
    prediction_type: PredictionType = "sample"


def read_authors_checkpoint(path: Path) -> AuthorsCheckpoint:
    """Read a ``ckpt.pt`` of the authors' code, without running anything that it may hold.

    ``ema_model`` is taken from a base model (``time_scale`` 1) and ``net_model`` from a student, as their code does.

    Raises:
        CheckpointError: It is no such file; the message says what is missing.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except Exception as error:  # whatever zip, pickle and torch raise on a foreign file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint of the CFD authors' code: {reason}") from error
    try:
        num_steps, scale = int(content["T"]), int(content["time_scale"])
        taken = "ema_model" if scale == 1 and "ema_model" in content else "net_model"
        besides = [name for name in ("net_model", "ema_model") if name in content and name != taken]
        state = content[taken]
        height, width = content["x_T"].shape[-2:]
        state = {name.removeprefix("module."): value for name, value in state.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of the CFD authors' code, which holds T, time_scale, x_T and net_model or "
            f"ema_model: {error}"
        ) from error
    if num_steps * scale != COSINE_ROWS - 1:
        raise CheckpointError(f"{path}: T x time_scale is {num_steps} x {scale}; only {COSINE_ROWS - 1} is supported")
    weights = f"takes the weights of {taken}{' (averaged)' if taken == 'ema_model' else ''}"
    weights += f"; found besides: {besides[0]}" if besides else ""
    return AuthorsCheckpoint(load_authors_unet(state, image_size=(height, width)), step_rows(num_steps), weights)
