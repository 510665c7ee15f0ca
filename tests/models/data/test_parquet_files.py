"""Tables with several columns of pictures or classes, and shards whose classes are ordered otherwise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from core.errors import InvalidRequest
from models.data.dataset import Dataset, load_data
from models.data.parquet_files import ALL_FOUND, Columns
from tests.models.data.test_sources import PICTURE, PIXELS, png, refused, write_parquet

PICTURES = [png(pixels) for pixels in PIXELS[:2]]
MASKS = [png(np.full((6, 5, 3), 255, np.uint8))] * 2


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two columns of pictures, the masks first, and two of classes."""
    columns = {name: pa.array([{"bytes": data, "path": ""} for data in rows], PICTURE) for name, rows in
               (("mask", MASKS), ("photo", PICTURES))}  # fmt: skip
    classes = {"fine": ["cat", "dog", "eel"], "coarse": ["mammal", "fish"]}
    features: dict[str, Any] = {name: {"_type": "ClassLabel", "names": names} for name, names in classes.items()}
    columns |= {"fine": pa.array([2, 0]), "coarse": pa.array([1, 0])}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "some.parquet")
    return tmp_path / "some.parquet"


def load(source: Path, columns: Columns = ALL_FOUND) -> Dataset:
    return load_data(str(source), cache=source.parent / "cache", columns=columns)


def test_of_several_columns_of_pictures_one_must_be_named(table: Path) -> None:
    with pytest.raises(InvalidRequest, match="several image columns, mask, photo; name one") as caught:
        load(table)
    assert caught.value.field == "image_column"
    np.testing.assert_array_equal(load(table, Columns("photo")).images, PIXELS[:2])
    assert load(table, Columns("mask")).images.min() == 255
    with pytest.raises(InvalidRequest, match="no image column 'fine'; it has mask, photo") as caught:
        load(table, Columns("fine"))
    assert caught.value.field == "image_column"


def test_of_several_columns_of_classes_the_first_is_read_and_the_others_are_said(table: Path) -> None:
    fine = load(table, Columns("photo"))
    assert fine.class_names == ("cat", "dog", "eel")
    assert fine.left_out == ("column coarse (--label-column takes it)",)
    coarse = load(table, Columns("photo", "coarse"))
    assert (coarse.class_names, coarse.left_out) == (("mammal", "fish"), ())
    assert coarse.labels is not None
    assert coarse.labels.tolist() == [1, 0]
    with pytest.raises(InvalidRequest, match="no column 'kind' of integers; it has fine, coarse") as caught:
        load(table, Columns("photo", "kind"))
    assert caught.value.field == "label_column"


def test_labels_that_are_text_are_said(tmp_path: Path) -> None:
    table = {"image": [{"bytes": data} for data in PICTURES], "label": ["cat", "dog"]}
    parquet.write_table(pa.table(table), tmp_path / "text.parquet")
    dataset = load(tmp_path / "text.parquet")
    assert (dataset.labels, dataset.left_out) == (None, ("column label (not of integers)",))


def test_shards_are_matched_by_the_names_of_their_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "hub/train-0.parquet", PICTURES, labels=[0, 1], names=["cat", "dog", "fox"])
    write_parquet(tmp_path / "hub/train-1.parquet", PICTURES, labels=[0, 1], names=["fox", "cat"])
    dataset = load(tmp_path / "hub")
    assert dataset.class_names == ("cat", "dog", "fox")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 2, 0]

    write_parquet(tmp_path / "hub/train-1.parquet", PICTURES, labels=[0, 2], names=["fox", "cat"])
    assert "train-1.parquet: row 1: label 2 is not that of a class" in refused(tmp_path / "hub")
    write_parquet(tmp_path / "hub/train-1.parquet", PICTURES, labels=[0, 1], names=["cat", "wolf"])
    assert "train-1.parquet: it has classes that train-0.parquet has not: wolf" in refused(tmp_path / "hub")
