import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from PIL import Image
from pyarrow import parquet

from core.errors import InvalidRequest
from models.data.dataset import load_data

PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
PIXELS = np.random.default_rng(0).integers(
    0, 256, (7, 6, 5, 3), dtype=np.uint8
)  # not square, so that swapped axes show


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_parquet(
    path: Path,
    pictures: Sequence[bytes | None],
    *,
    image: str = "img",
    label: str = "label",
    labels: Sequence[int | None] | None = None,
    names: list[str] | None = None,
) -> Path:
    columns: dict[str, Any] = {image: pa.array([{"bytes": data, "path": "x.png"} for data in pictures], PICTURE)}
    features: dict[str, Any] = {image: {"_type": "Image"}}
    if labels is not None:
        columns[label] = pa.array(labels, pa.int64())
        features[label] = {"_type": "ClassLabel", "names": names} if names else {"_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), path, row_group_size=3)
    return path


def refused(source: Path, *, split: str = "train") -> str:
    """What the error says of a source that cannot be used."""
    with pytest.raises(InvalidRequest) as caught:
        load_data(str(source), cache=source.parent / "cache", split=split)
    assert caught.value.field == "data"
    assert source.name in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "fine_label"), ("picture", "kind")])
def test_a_parquet_file_of_the_hub(tmp_path: Path, image: str, label: str) -> None:
    labels = [0, 1, 2, 2, 1, 0, 2]
    path = write_parquet(
        tmp_path / "some.parquet",
        [png(pixels) for pixels in PIXELS],
        image=image,
        label=label,
        labels=labels,
        names=["cat", "dog", "eel"],
    )
    dataset = load_data(str(path), cache=tmp_path / "cache")
    np.testing.assert_array_equal(dataset.images, PIXELS)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == labels
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == ("cat", "dog", "eel")
    assert dataset.name == "some.parquet"
    assert dataset.flip


def test_a_parquet_file_made_without_the_hub(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    table = {"id": [7, 8], "image": [{"bytes": png(pixels)} for pixels in PIXELS[:2]], "label": [1, 0]}
    parquet.write_table(pa.table(table), path)
    dataset = load_data(str(path), cache=tmp_path / "cache")
    np.testing.assert_array_equal(dataset.images, PIXELS[:2])
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.class_names is None


@pytest.mark.parametrize("labels", [None, [-1] * 7, [None] * 7])
def test_parquet_without_labels(tmp_path: Path, labels: Sequence[int | None] | None) -> None:
    path = write_parquet(tmp_path / "test.parquet", [png(pixels) for pixels in PIXELS], labels=labels)
    assert load_data(str(path), cache=tmp_path / "cache").labels is None


def test_shards_are_read_in_order_and_by_split(tmp_path: Path) -> None:
    pictures = [png(pixels) for pixels in PIXELS]
    write_parquet(tmp_path / "hub/data/train-00001-of-00002.parquet", pictures[2:5])
    write_parquet(tmp_path / "hub/data/train-00000-of-00002.parquet", pictures[:2])
    write_parquet(tmp_path / "hub/data/test-00000-of-00001.parquet", pictures[5:])
    source = str(tmp_path / "hub")
    np.testing.assert_array_equal(load_data(source, cache=tmp_path / "cache").images, PIXELS[:5])
    np.testing.assert_array_equal(load_data(source, split="test", cache=tmp_path / "cache").images, PIXELS[5:])
    assert "it has test, train" in refused(tmp_path / "hub", split="validation")


def test_shards_with_other_names_are_all_read(tmp_path: Path) -> None:
    pictures = [png(pixels) for pixels in PIXELS]
    write_parquet(tmp_path / "hub/part-0.parquet", pictures[:4])
    write_parquet(tmp_path / "hub/part-1.parquet", pictures[4:])
    np.testing.assert_array_equal(load_data(str(tmp_path / "hub"), cache=tmp_path / "cache").images, PIXELS)


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    good = [png(pixels) for pixels in PIXELS]
    assert "row 5: not a readable picture" in refused(
        write_parquet(tmp_path / "broken.parquet", [*good[:5], good[5][:40], good[6]])
    )
    assert "row 1 holds no picture" in refused(write_parquet(tmp_path / "null.parquet", [good[0], None]))
    assert "no pictures" in refused(write_parquet(tmp_path / "empty.parquet", []))
    assert "label 9" in refused(write_parquet(tmp_path / "label.parquet", good[:1], labels=[9], names=["a", "b"]))
    assert "row 1" in refused(write_parquet(tmp_path / "some.parquet", good[:2], labels=[0, None]))

    text = tmp_path / "text.parquet"
    parquet.write_table(pa.table({"text": ["a"], "label": [1]}), text)
    assert "no image column, a struct of bytes and path; it has text, label" in refused(text)

    whole = write_parquet(tmp_path / "whole.parquet", good).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])
    assert "not a readable Parquet file" in refused(tmp_path / "cut.parquet")
    (tmp_path / "holed.parquet").write_bytes(whole[:4] + bytes(200) + whole[204:])
    assert "damaged after row 0" in refused(tmp_path / "holed.parquet")
