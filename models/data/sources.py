"""Where pictures come from: what every source gives, scikit-learn's digits, and Parquet files in the Hub's layout.

A source only lists its files until it is read, so that a data set already decoded costs no more than that.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from PIL import Image
from pyarrow import parquet

from core.errors import InvalidRequest

DIGITS = "digits"
SYNTHETIC = "synthetic"
_SPLITS = frozenset({"train", "test", "validation", "val"})
_READ_ROWS = 256  # at a time
_Item = TypeVar("_Item")


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
    """What reading a source gives; each picture is read when it is taken."""

    pictures: Iterator[Picture]
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class Source:
    """Pictures not read yet.

    Attributes:
        name: ``digits``, or the last part of the path.
        files: The files that hold it.
        read: Starts from the first picture, always in the same order.
        flip: Whether a mirrored picture is one of the same kind.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Contents]
    flip: bool = True


class NoSuchSplit(InvalidRequest):
    """The data have splits, but not the one asked for."""


def bad_data(message: str) -> InvalidRequest:
    """The error for data that cannot be used."""
    return InvalidRequest(message, field="data")


def of_split(words: Mapping[_Item, str], *, split: str, where: Path) -> list[_Item]:
    """The items of one split, or all of them unless every item's word is the name of a split.

    Raises:
        NoSuchSplit: There are splits, but not this one.
    """
    present = set(words.values())
    if not present <= _SPLITS:
        return list(words)
    chosen = [item for item, word in words.items() if word == split]
    if not chosen:
        raise NoSuchSplit(f"{where}: no split {split!r} in it; it has {', '.join(sorted(present))}", field="data")
    return chosen


def digits_source() -> Source:
    """scikit-learn's handwritten digits, 8x8 in 17 levels of grey, drawn smoothly at 16x16; not to be mirrored."""

    def read() -> Contents:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # a second to import, needed once

        digits = load_digits()
        levels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        pictures = (
            Picture(f"digit {row}", Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC), int(label))
            for row, (image, label) in enumerate(zip(levels, digits.target, strict=True))
        )
        return Contents(pictures, tuple(map(str, digits.target_names)))

    return Source(DIGITS, (), read, flip=False)


def parquet_source(path: Path, *, split: str) -> Source:
    """A Parquet file, or a folder of them, with a struct column of encoded pictures, as the Hugging Face Hub has it.

    Args:
        path: The file or the folder.
        split: Which files of a folder to read if all are named after splits, as in ``train-00000-of-00001.parquet``.

    Raises:
        InvalidRequest: The folder has splits, but not this one. Reading raises it for a damaged file, a file without an
            image column, and a row without a picture.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if len(files) > 1:
        files = of_split({file: file.stem.partition("-")[0] for file in files}, split=split, where=path)

    def read() -> Contents:
        shards = [_Shard.open(file) for file in files]
        return Contents((picture for shard in shards for picture in shard.pictures()), shards[0].class_names)

    return Source(path.name, tuple(files), read)


class _Shard(NamedTuple):
    path: Path
    image: str
    label: str | None
    class_names: tuple[str, ...] | None

    @classmethod
    def open(cls, path: Path) -> "_Shard":
        try:
            schema = parquet.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise bad_data(f"{path}: not a readable Parquet file ({error})") from error
        structs = [field for field in schema if pa.types.is_struct(field.type)]
        images = [field.name for field in structs if field.type.get_field_index("bytes") >= 0]
        if not images:
            raise bad_data(f"{path}: no image column, a struct of bytes and path; it has {', '.join(schema.names)}")
        features = _hub_features(schema)
        integers = [field.name for field in schema if pa.types.is_integer(field.type)]
        labels = [
            name
            for name in integers
            if features.get(name, {}).get("_type") == "ClassLabel" or name in ("label", "labels")
        ]
        label = labels[0] if labels else None
        names = features.get(label, {}).get("names") if label else None
        return cls(path, images[0], label, tuple(names) if names else None)

    def pictures(self) -> Iterator[Picture]:
        columns = [f"{self.image}.bytes"] + ([self.label] if self.label else [])
        row = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_READ_ROWS, columns=columns):
                    for record in batch.to_pylist():
                        where = f"{self.path}: row {row}"
                        content = (record[self.image] or {}).get("bytes")
                        if not isinstance(content, bytes):
                            raise bad_data(f"{where} holds no picture in column {self.image!r}")
                        label = record[self.label] if self.label else None
                        # The Hub marks a row without a label, as test splits have, by -1.
                        yield Picture(where, content, None if label == -1 else label)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise bad_data(f"{self.path}: the Parquet file is damaged after row {row} ({error})") from error


def _hub_features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What the Hub says of each column, by name; empty for files made without it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
