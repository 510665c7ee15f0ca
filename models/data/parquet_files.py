"""Parquet files in the Hugging Face Hub's layout: a struct column of encoded pictures, and perhaps one of labels."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from models.data.listing import Listing, in_words, sort_out
from models.data.sources import Contents, Picture, Source, bad_data
from models.data.splits import choose_split

_READ_ROWS = 256  # at a time


class Columns(NamedTuple):
    """Which columns of a table to read; what is None is found out.

    Attributes:
        image: Of the pictures; must be named where there are several.
        label: Of the classes.
        needed: Whether it is an error to name columns of what has none.
    """

    image: str | None = None
    label: str | None = None
    needed: bool = True

    def refuse(self, source: str) -> None:
        """Raise ``InvalidRequest`` where a column is named, and needed, of data that are no table."""
        for field, name in (("image_column", self.image), ("label_column", self.label)):
            if name is not None and self.needed:
                raise bad_data(f"{source} has no columns; Parquet files have", field=field)


ALL_FOUND = Columns()


def is_table(name: PurePath) -> bool:
    """Whether a file is a Parquet file by its name."""
    return name.suffix.lower() == ".parquet"


def parquet_source(path: Path, listing: Listing | None = None, *, split: str, columns: Columns = ALL_FOUND) -> Source:
    """A Parquet file, or a folder of them.

    Args:
        path: The file, whatever its name, or the folder.
        listing: What is in the folder.
        split: Which files of a folder to read where they, or their folders, are named after splits.
        columns: What to read of them.

    Raises:
        InvalidRequest: The folder has splits, but not this one, or several configurations, each in a folder of its own.
            Reading raises it for a damaged file, a file without an image column or with several of which none is named,
            shards of other classes, and a row without a picture.
    """
    if listing is None:
        return Source(path.name, (path,), lambda: _read([path], columns), is_table=True)
    names, skipped = sort_out(listing, is_table, what="Parquet files")
    chosen = choose_split(names, split=split, where=path, all_named=True)
    _refuse_configurations(chosen.folders, where=path)
    shards = [listing.files[name] for name in chosen.folders]
    return Source(
        path.name,
        tuple(shards),
        lambda: _read(shards, columns),
        split=chosen.split,
        left_out=(*in_words(skipped), *chosen.others),
        is_table=True,
    )


def _refuse_configurations(folders: dict[PurePosixPath, tuple[str, ...]], *, where: Path) -> None:
    there = sorted({"/".join(parents) or "." for parents in folders.values()})
    if len(there) > 1:
        raise bad_data(
            f"{where}: Parquet files in several folders, which are configurations: {', '.join(there)}; name the folder "
            "of one"
        )


class _Shard(NamedTuple):
    path: Path
    image: str
    label: str | None
    class_names: tuple[str, ...] | None
    left_out: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, columns: Columns) -> "_Shard":
        try:
            schema = parquet.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise bad_data(f"{path}: not a readable Parquet file ({error})") from error
        features = _hub_features(schema)
        image = _image_column(schema, columns.image, where=path)
        label, left_out = _label_column(schema, features, columns.label, where=path)
        names = features.get(label, {}).get("names") if label else None
        return cls(path, image, label, tuple(names) if names else None, left_out)

    def pictures(self, class_names: tuple[str, ...] | None) -> Iterator[Picture]:
        """All of them, their labels those of ``class_names``."""
        columns = [f"{self.image}.bytes"] + ([self.label] if self.label else [])
        own = self.class_names

        def translate(label: int, where: str) -> int:
            if not own or not class_names:
                return label
            if not 0 <= label < len(own):
                raise bad_data(f"{where}: label {label} is not that of a class; labels count from 0")
            return class_names.index(own[label])

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
                        yield Picture(where, content, None if label in (None, -1) else translate(label, where))
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise bad_data(f"{self.path}: the Parquet file is damaged after row {row} ({error})") from error


def _read(files: list[Path], columns: Columns) -> Contents:
    shards = [_Shard.open(file, columns) for file in files]
    first = next((shard for shard in shards if shard.class_names), shards[0])
    for shard in shards:
        strange = set(shard.class_names or ()) - set(first.class_names or ())
        if strange:
            raise bad_data(f"{shard.path}: it has classes that {first.path.name} has not: {', '.join(sorted(strange))}")
    pictures = (picture for shard in shards for picture in shard.pictures(first.class_names))
    return Contents(pictures, first.class_names, first.left_out)


def _image_column(schema: pa.Schema, given: str | None, *, where: Path) -> str:
    structs = [field for field in schema if pa.types.is_struct(field.type)]
    images = [str(field.name) for field in structs if field.type.get_field_index("bytes") >= 0]
    if given is not None and given not in images:
        raise bad_data(
            f"{where}: no image column {given!r}; it has {', '.join(images) or 'none'}", field="image_column"
        )
    if not images:
        raise bad_data(f"{where}: no image column, a struct of bytes and path; it has {', '.join(schema.names)}")
    if given is None and len(images) > 1:
        raise bad_data(f"{where}: several image columns, {', '.join(images)}; name one", field="image_column")
    return given or images[0]


def _label_column(
    schema: pa.Schema, features: dict[str, dict[str, Any]], given: str | None, *, where: Path
) -> tuple[str | None, tuple[str, ...]]:
    """The column of classes, if there is one, and what is not read of others that might be meant."""
    integers = [str(field.name) for field in schema if pa.types.is_integer(field.type)]
    if given is not None:
        if given not in integers:
            raise bad_data(
                f"{where}: no column {given!r} of integers; it has {', '.join(integers) or 'none'}",
                field="label_column",
            )
        return given, ()
    named = [name for name in schema.names if name in ("label", "labels")]
    classes = [name for name in integers if features.get(name, {}).get("_type") == "ClassLabel" or name in named]
    texts = [name for name in named if name not in integers]
    others = [f"column {name} (--label-column takes it)" for name in classes[1:]]
    return classes[0] if classes else None, (*others, *(f"column {name} (not of integers)" for name in texts))


def _hub_features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What the Hub says of each column, by name; empty for files made without it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
