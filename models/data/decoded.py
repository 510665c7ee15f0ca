"""Decoded pictures on disk: a ``.npy`` of bytes to map, and beside it a ``.json`` of what goes with it.

Both are put in place whole, the ``.json`` last, and the same source gives the same bytes, so processes that write one
entry at once do no harm. Reading checks every byte: a crash can leave a file of the right length full of zeros.
"""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.checkpoints.files import in_place_of
from models.data.sources import Contents, Picture, Source, bad_data

_AT_ONCE = 256  # pictures in memory
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_Mode = Literal["L", "RGB"]


class Decoded(NamedTuple):
    """Pictures of one shape; the fields are those of ``models.data.dataset.Dataset``."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    fingerprint: str
    left_out: tuple[str, ...]


def read_decoded(entry: Path) -> Decoded | None:
    """Map the entry from disk; None if there is none, or none that is whole.

    Args:
        entry: The ``.npy`` file.
    """
    try:
        facts = json.loads(entry.with_suffix(".json").read_bytes())
        images = np.load(entry, mmap_mode="r")
        labels, class_names = facts["labels"], facts["class_names"]
        if _fingerprint(hashlib.sha256(images.reshape(-1)), images.shape, labels) != facts["fingerprint"]:
            return None
        return Decoded(
            images=images,
            labels=None if labels is None else np.array(labels, np.int64),
            class_names=None if class_names is None else tuple(class_names),
            fingerprint=facts["fingerprint"],
            left_out=tuple(facts["left_out"]),
        )
    except Exception:  # whatever damage does to a parser, the answer is to decode again
        return None


def write_decoded(entry: Path, source: Source, *, size: int | None) -> None:
    """Decode every picture of the source, a few at a time, into the entry.

    Args:
        entry: The ``.npy`` file; its folder is made.
        source: Read twice if colour comes after grey.
        size: Side of the square to crop and resize to, or None.

    Raises:
        InvalidRequest: The source is damaged or empty, a picture cannot be decoded, or they differ in shape.
        OSError: The entry cannot be written.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(entry) as file:
        try:
            facts = _decode_all(source.read(), file, mode="L", size=size, name=source.name)
        except _ColourFound:
            facts = _decode_all(source.read(), file, mode="RGB", size=size, name=source.name)
    with in_place_of(entry.with_suffix(".json")) as file:
        file.write(json.dumps(facts).encode())


class _ColourFound(Exception):  # noqa: N818 (no error: grey was a guess)
    """A picture that is not grey."""


def _decode_all(contents: Contents, file: IO[bytes], *, mode: _Mode, size: int | None, name: str) -> dict[str, Any]:
    """Write all pictures to ``file`` as a ``.npy`` and return what goes with it."""
    file.seek(0)
    file.truncate()
    shape: tuple[int, ...] = ()
    labels: list[int | None] = []
    on_white = 0
    digest = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while pictures := list(islice(contents.pictures, _AT_ONCE)):
            for picture, (image, was_clear) in zip(
                pictures, pool.map(partial(_decode, mode=mode, size=size), pictures), strict=True
            ):
                if not shape:
                    first, shape = picture, image.shape
                    _write_header(file, (0, *shape))
                if image.shape != shape:
                    raise bad_data(
                        f"{picture.where} has {_pixels(image.shape)} pixels where {first.where} has {_pixels(shape)}; "
                        "all must be alike, or be given one size to be resized to"
                    )
                _check_label(picture, contents.class_names, labelled=first.label is not None)
                labels.append(picture.label)
                on_white += was_clear
                pixels = image.tobytes()
                file.write(pixels)
                digest.update(pixels)
    if not shape:
        raise bad_data(f"{name}: no pictures in it")
    shape = (len(labels), *shape)
    file.seek(0)
    _write_header(file, shape)
    known = None if labels[0] is None else labels
    return {
        "labels": known,
        "class_names": contents.class_names,
        "fingerprint": _fingerprint(digest, shape, known),
        "left_out": [*contents.left_out, *([f"transparency of {on_white}, laid on white"] if on_white else [])],
    }


def _decode(picture: Picture, *, mode: _Mode, size: int | None) -> tuple[npt.NDArray[np.uint8], bool]:
    """The picture as (H, W, C) uint8, and whether it was transparent somewhere. White is what shows there.

    Raises:
        _ColourFound: The mode is grey and the picture is not.
    """
    try:
        image = picture.content if isinstance(picture.content, Image.Image) else Image.open(io.BytesIO(picture.content))
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # Pillow lets through whatever a format's decoder raises on a damaged file
        raise bad_data(f"{picture.where}: not a readable picture ({error})") from error
    if image.mode in _DEEP_MODES:
        raise bad_data(f"{picture.where}: a picture of mode {image.mode}; 8 bits a channel are read")
    if mode == "L" and image.mode not in _GREY_MODES:
        raise _ColourFound
    try:
        clear = _is_clear(image)
        if clear:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert(mode)
    except Exception as error:
        raise bad_data(f"{picture.where}: not a readable picture ({error})") from error
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(image.height, image.width, -1), clear


def _is_clear(image: Image.Image) -> bool:
    """Whether what is behind a picture would show."""
    return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255


def _check_label(picture: Picture, class_names: tuple[str, ...] | None, *, labelled: bool) -> None:
    if (picture.label is not None) != labelled:
        raise bad_data(f"{picture.where}: pictures before it and this one do not agree on having a label")
    if picture.label is not None and not 0 <= picture.label < (len(class_names) if class_names else 2**31):
        raise bad_data(f"{picture.where}: label {picture.label} is not that of a class; labels count from 0")


def _write_header(file: IO[bytes], shape: Sequence[int]) -> None:
    """A header of the same length whatever the first number, for which NumPy leaves room to grow."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})


def _pixels(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _fingerprint(pixels: "hashlib._Hash", shape: Sequence[int], labels: Sequence[int | None] | None) -> str:
    """Finish the hash of the pixels by what they mean."""
    pixels.update(json.dumps([list(shape), labels]).encode())
    return pixels.hexdigest()
