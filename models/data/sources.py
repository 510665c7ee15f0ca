"""Where pictures come from: what every source gives, and the handwritten digits that ship.

A source only lists its files until it is read, so that a data set already decoded costs no more than that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from core.errors import InvalidRequest

DIGITS = "digits"
SYNTHETIC = "synthetic"
_DIGITS = Path(__file__).with_name("digits.csv.gz")
"""Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), the half for tests, as
scikit-learn has it: 64 levels of ink from 0 to 16 and the digit, a row a picture."""


class Picture(NamedTuple):
    """One picture as its source holds it.

    Attributes:
        where: Names the picture in an error: a file, or a row of one.
        content: An encoded file (PNG, JPEG, …) or the decoded picture.
        label: Class index from 0, or None where the source has none.
    """

    where: str
    content: bytes | Image.Image
    label: int | None


class Contents(NamedTuple):
    """What reading a source gives; each picture is read when it is taken.

    Attributes:
        pictures: In the order of the source.
        class_names: Name of each label, where the source has names.
        left_out: What of the source is not read, in a few words each.
    """

    pictures: Iterator[Picture]
    class_names: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Pictures not read yet.

    Attributes:
        name: ``digits``, or the last part of the path.
        files: The files that hold it.
        read: Starts from the first picture, always in the same order.
        flip: Whether a mirrored picture is one of the same kind.
        split: Which split of the data it is; None where they are all one.
        left_out: As of ``Contents``: what is known of it without reading.
        is_table: Whether it has columns.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Contents]
    flip: bool = True
    split: str | None = None
    left_out: tuple[str, ...] = ()
    is_table: bool = False


class NoSuchSplit(InvalidRequest):
    """The data have splits, but not the one asked for."""


def bad_data(message: str, *, field: str = "data") -> InvalidRequest:
    """The error for data that cannot be used."""
    return InvalidRequest(message, field=field)


def digits_source() -> Source:
    """The handwritten digits, 8x8 in 17 levels of grey, drawn smoothly at 16x16; not to be mirrored."""

    def read() -> Contents:
        rows = np.loadtxt(_DIGITS, delimiter=",", dtype=np.uint8)
        levels = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        pictures = (
            Picture(f"digit {row}", Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC), int(label))
            for row, (image, label) in enumerate(zip(levels, rows[:, -1], strict=True))
        )
        return Contents(pictures, tuple(map(str, range(10))))

    return Source(DIGITS, (), read, flip=False)
