"""Pictures: between model space (NCHW float32 in [-1, 1]) and files (NHWC uint8)."""

import io
import math
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from core.errors import InvalidRequest
from models.checkpoints.files import in_place_of

Pictures = npt.NDArray[np.uint8]
ImageFormat = Literal["png", "webp", "jpeg"]

_GRID_GAP = 2


def to_float(images: Tensor) -> Tensor:
    """(B, H, W, C) uint8 to (B, C, H, W) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_levels(images: Tensor) -> Tensor:
    """(B, C, H, W) float32 in [-1, 1] to (B, H, W, C) uint8, rounded to the nearest level as diffusers does."""
    return ((images / 2 + 0.5) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_uint8(images: Tensor) -> Pictures:
    """As ``to_levels``, as an array in host memory."""
    pictures: Pictures = to_levels(images).cpu().numpy()
    return pictures


def make_grid(images: Pictures) -> Pictures:
    """One picture of (N, H, W, C) images, row by row in a grid as square as can be, on black with a gap of 2 pixels.

    A single image comes back as it is.
    """
    count, height, width, channels = images.shape
    if count == 1:
        only: Pictures = images[0]
        return only
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height + _GRID_GAP, width + _GRID_GAP
    grid = np.zeros((rows * cell_height + _GRID_GAP, columns * cell_width + _GRID_GAP, channels), np.uint8)
    for index, image in enumerate(images):
        top = (index // columns) * cell_height + _GRID_GAP
        left = (index % columns) * cell_width + _GRID_GAP
        grid[top : top + height, left : left + width] = image
    return grid


def encode(image: Pictures, image_format: ImageFormat) -> bytes:
    """File contents of one (H, W, C) uint8 image, C 1 (grey) or 3 (RGB). PNG and WebP are lossless."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    match image_format:
        case "png":
            picture.save(buffer, "PNG")
        case "webp":
            picture.save(buffer, "WEBP", lossless=True)
        case "jpeg":
            picture.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def write_pictures(path: Path, images: Pictures) -> None:
    """Write (N, H, W, C) uint8 images: all in one grid to a ``.png``, or the array itself to a ``.npy``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(path) as file:
        if path.suffix == ".npy":
            np.save(file, images)
        else:
            file.write(encode(make_grid(images), "png"))


def read_noise(path: Path) -> Tensor:
    """Initial noise from a ``.npy`` of float32 (N, C, H, W).

    Raises:
        InvalidRequest: There is no such file or it holds something else.
    """
    try:
        noise = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidRequest(f"{path}: cannot be read as .npy: {error}", field="noise") from error
    if noise.dtype != np.float32 or noise.ndim != 4:
        raise InvalidRequest(
            f"{path}: holds {noise.dtype} of shape {noise.shape}; it must be float32 (N, C, H, W)", field="noise"
        )
    return torch.from_numpy(noise)
