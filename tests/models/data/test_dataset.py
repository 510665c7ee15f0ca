import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import FewstepError, InvalidRequest
from models.data.dataset import load_data

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "pictures", *PIXELS)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(folder: Path, *pictures: np.ndarray[Any, Any] | Image.Image) -> Path:
    folder.mkdir()
    for row, picture in enumerate(pictures):
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(folder / f"{row:05}.png")
    return folder


def refused(source: Path, *, size: int | None = None) -> str:
    with pytest.raises(InvalidRequest) as caught:
        load_data(str(source), cache=source.parent / "cache", size=size)
    assert caught.value.field == "data"
    return caught.value.detail


def test_digits(cache: Path) -> None:
    digits = load_data("digits", cache=cache)
    assert digits.images.shape == (1797, 16, 16, 1)
    assert digits.images.dtype == np.uint8
    assert digits.labels is not None
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.class_names == tuple("0123456789")
    assert not digits.flip
    # The whole range is used, and neighbours are alike, as in handwriting: not one grey, no blocks, no noise.
    assert (int(digits.images.min()), int(digits.images.max())) == (0, 255)
    images = digits.images[..., 0].astype(float)
    assert images.std(axis=0)[4:12, 4:12].min() > 30
    steps = np.abs(np.diff(images, axis=2)).mean(axis=(0, 1))
    assert steps[4:11].max() < 2 * steps[4:11].min()  # doubled pixels would make every second one 0


def test_images_are_mapped_and_read_only(folder: Path, cache: Path) -> None:
    images = load_data(str(folder), cache=cache).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_source_says_whether_to_flip_unless_told(folder: Path, cache: Path) -> None:
    assert load_data(str(folder), cache=cache).flip
    assert not load_data(str(folder), cache=cache, flip=False).flip
    assert load_data("digits", cache=cache, flip=True).flip


def test_the_environment_names_the_cache(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_CACHE", str(cache))
    load_data(str(folder))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]
    monkeypatch.delenv("FEWSTEP_CACHE")
    monkeypatch.setenv("HOME", str(cache.parent))
    load_data(str(folder))
    assert (cache.parent / ".cache/fewstep").is_dir()


def test_a_second_load_reads_no_source(folder: Path, cache: Path) -> None:
    first = load_data(str(folder), cache=cache)
    for file in folder.iterdir():
        before = file.stat()
        file.write_bytes(bytes(before.st_size))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_data(str(folder), cache=cache)
    np.testing.assert_array_equal(second.images, PIXELS)
    assert second.fingerprint == first.fingerprint


def test_a_changed_source_is_read_anew(folder: Path, cache: Path) -> None:
    first = load_data(str(folder), cache=cache)
    Image.fromarray(PIXELS[5]).save(folder / "00000.png")
    second = load_data(str(folder), cache=cache)
    np.testing.assert_array_equal(second.images[0], PIXELS[5])
    assert second.fingerprint != first.fingerprint
    assert load_data(str(folder), cache=cache, size=4).images.shape == (9, 4, 4, 3)


def test_the_fingerprint_is_that_of_content(folder: Path, cache: Path) -> None:
    elsewhere = write(folder.parent / "elsewhere", *PIXELS)
    assert load_data(str(elsewhere), cache=cache).fingerprint == load_data(str(folder), cache=cache).fingerprint
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    for file in folder.glob("*.png"):
        file.rename(folder / ("a" if file.stem < "00004" else "b") / file.name)
    assert load_data(str(folder), cache=cache).fingerprint != load_data(str(elsewhere), cache=cache).fingerprint


def cut(content: bytes) -> bytes:
    return content[:-7]


def flip_a_bit(content: bytes) -> bytes:
    at = len(content) - 50
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [cut, flip_a_bit, lambda content: bytes(len(content)), lambda _: b""])
@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_entry_is_made_anew(folder: Path, cache: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    load_data(str(folder), cache=cache)
    (file,) = cache.glob(f"*{suffix}")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    np.testing.assert_array_equal(load_data(str(folder), cache=cache).images, PIXELS)
    assert file.read_bytes() == whole


def test_processes_that_load_at_once(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path / "many", *np.tile(PIXELS, (34, 1, 1, 1)))  # enough to be in each other's way
    script = """
import sys
from pathlib import Path
from models.data.dataset import load_data
print("ready", flush=True)
sys.stdin.readline()
for turn in range(10):
    print(load_data(sys.argv[1], cache=Path(sys.argv[2]) / str(turn), size=48).fingerprint)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, folder, cache], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    expected = load_data(str(folder), cache=cache / "own", size=48).fingerprint
    assert printed == [[expected] * 10] * 2
    assert not list(cache.rglob("*.tmp"))


def test_a_failed_load_leaves_nothing(folder: Path, cache: Path) -> None:
    (folder / "00008.png").write_bytes(b"no picture")
    assert "00008.png: not a readable picture" in refused(folder)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written(folder: Path) -> None:
    with pytest.raises(FewstepError, match="FEWSTEP_CACHE"):
        load_data(str(folder), cache=folder / "00000.png")


def test_grey_pictures_have_one_channel(tmp_path: Path, cache: Path) -> None:
    grey = [Image.fromarray(pixels[..., 0]) for pixels in PIXELS]
    grey[3] = grey[3].convert("LA")
    assert load_data(str(write(tmp_path / "grey", *grey)), cache=cache).images.shape == (9, 6, 5, 1)
    np.testing.assert_array_equal(load_data(str(tmp_path / "grey"), cache=cache).images, PIXELS[..., :1])


def test_one_coloured_picture_makes_all_rgb(tmp_path: Path, cache: Path) -> None:
    # More pictures than are decoded at once, so that grey ones are on disk when the coloured one comes.
    grey = [Image.fromarray(PIXELS[row % 9, ..., 0]) for row in range(300)]
    images = load_data(str(write(tmp_path / "mixed", *grey, Image.fromarray(PIXELS[0]))), cache=cache).images
    assert images.shape == (301, 6, 5, 3)
    np.testing.assert_array_equal(images[-1], PIXELS[0])
    np.testing.assert_array_equal(images[7], np.repeat(PIXELS[7, ..., :1], 3, axis=-1))


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, cache: Path, mode: str) -> None:
    image = Image.new("RGB", (4, 4), (200, 30, 60)).convert(mode)
    folder = tmp_path / "modes"
    folder.mkdir()
    image.save(folder / ("0.tif" if mode == "CMYK" else "0.png"))
    pixel = load_data(str(folder), cache=cache).images[0, 0, 0]
    assert np.abs(pixel.astype(int) - [200, 30, 60]).max() <= (30 if mode == "P" else 1)


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "deep", np.full((4, 4), 40000, np.uint16))
    assert "00000.png: a picture of mode I;16" in refused(folder)


def test_pictures_are_turned_upright(tmp_path: Path, cache: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    (tmp_path / "turned").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "turned/0.png", exif=exif)
    np.testing.assert_array_equal(load_data(str(tmp_path / "turned"), cache=cache).images[0], np.rot90(PIXELS[0], k=-1))


def test_pictures_that_differ_in_shape(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path / "shapes", PIXELS[0], PIXELS[1], PIXELS[2, :4])
    said = refused(folder)
    assert "00002.png has 5x4 pixels where" in said
    assert "00000.png has 5x6" in said
    assert load_data(str(folder), cache=cache, size=3).images.shape == (3, 3, 3, 3)


def test_size_crops_about_the_centre(tmp_path: Path, cache: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 200  # the middle square
    (image,) = load_data(str(write(tmp_path / "wide", pixels)), cache=cache, size=4).images
    assert image.shape == (4, 4, 3)
    assert np.abs(image.astype(int) - 200).max() <= 10  # the filter reaches over the edge a little
    assert "the least is 1" in refused(tmp_path / "wide", size=0)


def test_a_source_that_is_none(tmp_path: Path) -> None:
    said = refused(tmp_path / "absent")
    assert "absent: no such file or folder; data is 'digits' or the path of a Parquet file" in said
    (tmp_path / "notes.txt").write_text("text")
    assert "notes.txt: not a kind of file that is read" in refused(tmp_path / "notes.txt")
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(file, "png")
    (tmp_path / "one.png").write_bytes(file.getvalue())
    assert "not a kind of file" in refused(tmp_path / "one.png")
