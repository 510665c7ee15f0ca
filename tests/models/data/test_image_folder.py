import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequest
from models.data.dataset import Dataset, load_data

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 6, 5, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def load(source: Path, *, split: str = "train") -> Dataset:
    return load_data(str(source), cache=source.parent / "cache", split=split)


def refused(source: Path, *, split: str = "train") -> str:
    with pytest.raises(InvalidRequest) as caught:
        load(source, split=split)
    assert caught.value.field == "data"
    assert source.name in caught.value.detail
    return caught.value.detail


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder of two classes, with what lies about in folders."""
    root = tmp_path / "animals"
    for row, name in enumerate(["cat/1.png", "cat/2.PNG", "cat/deeper/3.png", "dog/0.bmp"]):
        save(root / name, PIXELS[row])
    (root / "README.txt").write_text("no picture")
    (root / "cat/._1.png").write_bytes(b"no picture either")
    return root


def zipped(root: Path, *, around: str = "") -> Path:
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*"), reverse=True):
            archive.write(file, around + file.relative_to(root).as_posix())
    return path


def test_sub_folders_are_classes(classes: Path) -> None:
    dataset = load(classes)
    np.testing.assert_array_equal(dataset.images, PIXELS[:4])
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 0, 1]
    assert dataset.class_names == ("cat", "dog")
    assert (dataset.name, dataset.flip) == ("animals", True)


@pytest.mark.parametrize("around", ["", "animals/", "a/b/"])
def test_a_zip_is_its_folder(classes: Path, around: str) -> None:
    folder, archive = load(classes), load(zipped(classes, around=around))
    np.testing.assert_array_equal(archive.images, folder.images)
    assert archive.class_names == folder.class_names
    assert archive.fingerprint == folder.fingerprint


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for row in range(3):
        save(tmp_path / f"flat/{row}.png", PIXELS[row])
    dataset = load(tmp_path / "flat")
    np.testing.assert_array_equal(dataset.images, PIXELS[:3])
    assert dataset.labels is None
    assert dataset.class_names is None


def test_sub_folders_named_after_splits_are_splits(tmp_path: Path) -> None:
    root = tmp_path / "both"
    for row, name in enumerate(["train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png"]):
        save(root / name, PIXELS[row])
    for source in (root, zipped(root)):
        train, test = load(source), load(source, split="test")
        np.testing.assert_array_equal(train.images, PIXELS[:2])
        np.testing.assert_array_equal(test.images, PIXELS[2:4])
        assert train.class_names == test.class_names == ("cat", "dog")
        assert "it has test, train" in refused(source, split="val")


def test_members_of_a_zip_stay_in_memory(tmp_path: Path) -> None:
    save(tmp_path / "0.png", PIXELS[0])
    picture = (tmp_path / "0.png").read_bytes()
    source = tmp_path / "inner/evil.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("../outside.png", picture)
        archive.writestr(str(tmp_path / "absolute.png"), picture)
    assert len(load(source).images) == 1  # a path that points out of the zip is left out
    assert {file.name for file in tmp_path.rglob("*.png")} == {"0.png"}


def test_what_cannot_be_used(tmp_path: Path, classes: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert "no pictures" in refused(tmp_path / "nothing")
    save(classes / "loose.png", PIXELS[0])
    assert "loose.png is in no class folder" in refused(classes)
    (classes / "loose.png").unlink()
    shutil.copy(classes / "README.txt", classes / "dog/1.png")
    assert "dog/1.png: not a readable picture" in refused(classes)


def test_zips_that_cannot_be_used(classes: Path) -> None:
    source = zipped(classes)
    whole = source.read_bytes()
    source.write_bytes(whole[:-30])
    assert "not a readable zip" in refused(source)
    offset = whole.index(b"IDAT")
    source.write_bytes(whole[:offset] + bytes(8) + whole[offset + 8 :])
    assert "in the zip (Bad CRC-32" in refused(source)
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("readme.txt", "no picture")
    assert "no pictures" in refused(source)
