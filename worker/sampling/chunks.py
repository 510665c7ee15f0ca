"""Documents of many images, written in chunks as the images come."""

import io
import math
import zipfile
from collections.abc import Sequence

import numpy as np

from core.generation.request import Generation, MediaType
from models.data.images import Pictures, encode

MAX_CHUNK_IMAGES = 256
MAX_CHUNK_BYTES = 8 * 2**20
"""Of pixels, so that large images are held by the dozen."""


def chunk_images(image_shape: tuple[int, int, int]) -> int:
    """Images (C, H, W) of a chunk."""
    return max(1, min(MAX_CHUNK_IMAGES, MAX_CHUNK_BYTES // math.prod(image_shape)))


class ChunkedDocument:
    """A zip or a NumPy file of a generation; what ``add`` and ``end`` return, one after the other, is the document."""

    def __init__(self, generation: Generation, image_shape: tuple[int, int, int]) -> None:
        """Begin one of images (C, H, W)."""
        self._generation = generation
        self._out = _Stream()
        self._archive: zipfile.ZipFile | None = None
        if generation.media_type is MediaType.ZIP:
            # The images are compressed already.
            self._archive = zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED)
        else:
            channels, height, width = image_shape
            shape = (generation.n, height, width, channels)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._out, header)

    def add(self, seeds: Sequence[int], images: Pictures) -> bytes:
        """The chunk with the images (n, H, W, C) uint8 of these seeds, which follow those before."""
        if self._archive is None:
            self._out.write(images.tobytes())
        else:
            suffix = self._generation.format
            for seed, image in zip(seeds, images, strict=True):
                self._archive.writestr(f"{seed}.{suffix}", encode(image, suffix))
        return self._out.take()

    def end(self) -> bytes:
        """The last chunk."""
        if self._archive is not None:
            self._archive.close()
        return self._out.take()


class _Stream(io.RawIOBase):
    """Keeps what is written until it is taken; cannot seek, which zipfile knows to do without."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._written += chunk
        return len(chunk)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
