"""Splits by the names of folders and files, as the Hugging Face Hub reads them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidRequest
from models.data.dataset import load_data
from models.data.splits import named_split
from tests.models.data.test_image_folder import PIXELS, load, refused, save
from tests.models.data.test_sources import png, write_parquet


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train", "TRAIN", "training", "train-00000-of-00002.parquet", "train2017")),
        *((name, "validation") for name in ("validation", "valid", "val", "Dev", "valid-0.parquet", "my_val.set")),
        *((name, "test") for name in ("test", "testing", "eval", "evaluation", "x test.png", "a-TEST_01.parquet")),
        *((name, None) for name in ("trainer", "contest", "latest", "cat", "", "value", "test-train.parquet")),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert named_split(name) == split


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [("train", "valid", "test"), ("Training", "dev", "eval"), ("train_images", "val_images", "test_images")],
)
def test_folders_of_three_splits_are_no_classes(tmp_path: Path, train: str, valid: str, test: str) -> None:
    root = tmp_path / "set"
    for row, (split, kind) in enumerate((split, kind) for split in (train, valid, test) for kind in ("cat", "dog")):
        save(root / split / kind / "0.png", PIXELS[row])
    for first, split in ((0, "train"), (2, "validation"), (4, "test")):
        dataset = load(root, split=split)
        np.testing.assert_array_equal(dataset.images, PIXELS[first : first + 2])
        assert (dataset.class_names, dataset.split) == (("cat", "dog"), split)


def test_splits_within_classes_and_within_names_of_pictures(tmp_path: Path) -> None:
    for row, name in enumerate(["cat/train/0.png", "cat/val/0.png", "dog/train/0.png", "dog/val/0.png"]):
        save(tmp_path / "within" / name, PIXELS[row])
    dataset = load(tmp_path / "within")
    np.testing.assert_array_equal(dataset.images, PIXELS[[0, 2]])
    assert dataset.class_names == ("cat", "dog")

    for row, name in enumerate(["img_test_0.png", "img_train_0.png", "img_train_1.png"]):
        save(tmp_path / "named" / name, PIXELS[row])
    np.testing.assert_array_equal(load(tmp_path / "named").images, PIXELS[1:3])


def test_a_split_alone_is_not_taken_for_another(tmp_path: Path) -> None:
    save(tmp_path / "set/test/cat/0.png", PIXELS[0])
    save(tmp_path / "set/test/dog/0.png", PIXELS[1])
    assert "no split 'train' in it; it has test" in refused(tmp_path / "set")
    assert len(load(tmp_path / "set/test").images) == 2  # it was named
    write_parquet(tmp_path / "hub/valid-0.parquet", [png(PIXELS[0])])
    assert "no split 'train' in it; it has validation" in refused(tmp_path / "hub")
    assert len(load(tmp_path / "hub/valid-0.parquet").images) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/0.png", "extra/0.png"), "train is named after a split, and extra beside it is not"),
        (("train/0.png", "loose.png"), "train is named after a split, and loose.png beside it is not"),
        (("test_0.png", "train_0.png", "more.png"), "test_0.png is named after a split, and more.png beside it is not"),
        (("bullet train/0.png", "car/0.png"), "Classes with such names go into a folder named train"),
    ],
)
def test_a_name_beside_a_split_that_is_none_is_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    for row, name in enumerate(names):
        save(tmp_path / "set" / name, PIXELS[row])
    assert said in refused(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "set" / name, f"around/{name}")
    assert said.replace("loose", "around/loose") in refused(tmp_path / "set.zip")


def test_words_in_names_are_no_splits_where_they_can_be_none(tmp_path: Path) -> None:
    for row, name in enumerate(["crash-test 3.png", "eel.png"]):
        save(tmp_path / "photos" / name, PIXELS[row])
    assert len(load(tmp_path / "photos").images) == 2
    for row, name in enumerate(["train/bullet train/0.png", "train/car/0.png", "train/test tube/0.png"]):
        save(tmp_path / "classes" / name, PIXELS[row])
    assert load(tmp_path / "classes").class_names == ("bullet train", "car", "test tube")
    for row, name in enumerate(["set-dev/cat/0.png", "set-dev/dog/0.png"]):  # a repository's branch, zipped
        save(tmp_path / "wrapped" / name, PIXELS[row])
    assert load(tmp_path / "wrapped").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("train-00000-of-00002.parquet", "valid-0.parquet"),
        ("data/TRAIN.parquet", "data/validation-0.parquet"),
        ("default/training/0000.parquet", "default/dev/0000.parquet"),
        ("pictures.train.0.parquet", "pictures.val.0.parquet"),
    ],
)
def test_shards_of_a_validation_split_are_not_trained_on(tmp_path: Path, train: str, valid: str) -> None:
    write_parquet(tmp_path / "hub" / train, [png(pixels) for pixels in PIXELS[:4]])
    write_parquet(tmp_path / "hub" / valid, [png(pixels) for pixels in PIXELS[4:]])
    np.testing.assert_array_equal(load(tmp_path / "hub").images, PIXELS[:4])
    np.testing.assert_array_equal(load(tmp_path / "hub", split="validation").images, PIXELS[4:])
    assert "it has train, validation" in refused(tmp_path / "hub", split="test")


def test_tables_of_which_one_is_no_split_are_refused(tmp_path: Path) -> None:
    for name in ("train-0.parquet", "more.parquet"):
        write_parquet(tmp_path / "hub" / name, [png(PIXELS[0])])
    assert "train-0.parquet is named after a split, and more.parquet beside it is not" in refused(tmp_path / "hub")


def test_configurations_are_not_mixed(tmp_path: Path) -> None:
    for row, name in enumerate(["en/train-0.parquet", "fr/train-0.parquet", "fr/test-0.parquet"]):
        write_parquet(tmp_path / "hub" / name, [png(PIXELS[row])])
    with pytest.raises(InvalidRequest, match="configurations: en, fr; name the folder of one"):
        load_data(str(tmp_path / "hub"), cache=tmp_path / "cache")
    np.testing.assert_array_equal(load(tmp_path / "hub/fr").images, PIXELS[1:2])


def test_what_a_download_leaves_beside_is_not_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "hub/data/train-0.parquet", [png(PIXELS[0])])
    write_parquet(tmp_path / "hub/.cache/huggingface/other.parquet", [png(PIXELS[1])])
    np.testing.assert_array_equal(load(tmp_path / "hub").images, PIXELS[:1])
