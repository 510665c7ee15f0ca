"""Nothing of a folder is lost without a word: what is read through links, and what is left out and said."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.classes import describe
from tests.models.data.test_image_folder import PIXELS, load, save


def test_a_class_folder_that_is_a_link_is_read(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/0.png", PIXELS[0])
    save(tmp_path / "set/dog/0.png", PIXELS[1])
    (tmp_path / "set/cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/dog/1.png").symlink_to(tmp_path / "elsewhere/0.png")
    dataset = load(tmp_path / "set")
    np.testing.assert_array_equal(dataset.images, PIXELS[[0, 1, 0]])
    assert dataset.class_names == ("cat", "dog")
    assert dataset.left_out == ()


def test_what_is_left_out_is_said_in_one_line(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for row, name in enumerate(["train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "test/cat/0.png"]):
        save(root / name, PIXELS[row])
    (root / "train/fox").mkdir()
    (root / "notes").mkdir()
    for name in ("notes/a.txt", "train/cat/b.txt", "train/.DS_Store", "train/dog/c.heic"):
        (root / name).write_text("no picture")
    (root / "train/dog/up").symlink_to(root)
    (root / "train/dog/1.png").symlink_to(root / "gone.png")
    dataset = load(root)
    assert len(dataset.images) == 3
    assert describe(dataset) == (
        "set: 3 pictures of 6x5, RGB, 2 classes (cat 2, dog 1), split train; left out: "
        "hidden files: 1 (train/.DS_Store); links to nothing: 1 (train/dog/1.png); links that lead back: "
        "1 (train/dog/up); empty folders: 1 (train/fox); folders without pictures: 1 (notes); "
        "files that are no pictures: 2 (train/cat/b.txt, train/dog/c.heic); split test"
    )
    assert describe(load(root)) == describe(dataset), "the same from the cache"


def test_a_zip_says_it_too(tmp_path: Path) -> None:
    save(tmp_path / "0.png", PIXELS[0])
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("cat/0.png", "dog/0.png", "__MACOSX/0.png", "cat/a.txt"):
            archive.write(tmp_path / "0.png", name)
        archive.mkdir("fox")
    assert load(tmp_path / "set.zip").left_out == (
        "hidden files: 1 (__MACOSX/0.png)",
        "empty folders: 1 (fox)",
        "files that are no pictures: 1 (cat/a.txt)",
    )


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif", ".tga", ".jp2", ".pbm", ".ico", ".QOI"])
def test_every_ending_that_pillow_reads(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "set").mkdir()
    picture = Image.new("RGB", (16, 16), (200, 30, 60)).convert("1" if suffix == ".pbm" else "RGB")
    file = io.BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    picture.save(file, kind)
    (tmp_path / f"set/0{suffix}").write_bytes(file.getvalue())
    dataset = load(tmp_path / "set")
    assert len(dataset.images) == 1
    assert dataset.left_out == ()


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (200, 30, 60, 0))
    clear.putpixel((0, 0), (200, 30, 60, 255))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([200, 30, 60, 0, 0, 0])
    palette.putpixel((0, 0), 0)
    (tmp_path / "set").mkdir()
    clear.save(tmp_path / "set/0.png")
    palette.save(tmp_path / "set/1.png", transparency=1)
    clear.crop((0, 0, 1, 1)).resize((4, 4)).save(tmp_path / "set/2.png")  # as opaque as if it had no alpha
    dataset = load(tmp_path / "set")
    assert dataset.images[:, 0, 0].tolist() == [[200, 30, 60]] * 3
    assert dataset.images[:, 3, 3].tolist() == [[255, 255, 255], [255, 255, 255], [200, 30, 60]]
    assert dataset.left_out == ("transparency of 2, laid on white",)


def test_grey_pictures_with_transparency_stay_grey(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("LA", (4, 4), (10, 0)).save(tmp_path / "set/0.png")
    assert load(tmp_path / "set").images.tolist() == np.full((1, 4, 4, 1), 255).tolist()
