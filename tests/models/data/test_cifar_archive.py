import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from core.errors import InvalidRequest
from models.data.dataset import load_data

TRAIN = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
TEST = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
NAMES = [f"class {number}".encode() for number in range(10)]


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 did, which made the published archives: all text is bytes, NumPy's modules have old names."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)

    def save_text(self: Any, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def python2(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def python3(value: object) -> bytes:
    return pickle.dumps(value, protocol=2)


def batch(pixels: np.ndarray[Any, Any], first_label: int = 0, *, key: bytes = b"labels") -> dict[bytes, object]:
    labels = [(first_label + row) % 10 for row in range(len(pixels))]
    return {b"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1).copy(), key: labels}


def cifar10(dump: Callable[[object], bytes] = python3) -> dict[str, bytes]:
    """Files of a small CIFAR-10, in the disorder of the published tar."""
    batches = {f"data_batch_{number}": dump(batch(TRAIN[2 * number - 2 :][:2], number)) for number in (4, 2, 5, 1, 3)}
    return batches | {"test_batch": dump(batch(TEST)), "batches.meta": dump({b"label_names": NAMES})}


def write_tar(path: Path, files: dict[str, bytes], *, folder: str = "cifar-10-batches-py") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def refused(source: Path, *, split: str = "train") -> str:
    with pytest.raises(InvalidRequest) as caught:
        load_data(str(source), cache=source.parent / "cache", split=split)
    assert caught.value.field == "data"
    assert source.name in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("dump", [python2, python3])
def test_both_splits_of_tar_and_folder(tmp_path: Path, dump: Callable[[object], bytes]) -> None:
    files = cifar10(dump)
    for source in (write_tar(tmp_path / "cifar-10-python.tar.gz", files), write_folder(tmp_path / "extracted", files)):
        train = load_data(str(source), cache=tmp_path / "cache")
        test = load_data(str(source), split="test", cache=tmp_path / "cache")
        np.testing.assert_array_equal(train.images, TRAIN)
        np.testing.assert_array_equal(test.images, TEST)
        assert train.labels is not None
        assert train.labels.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
        assert train.class_names == tuple(name.decode() for name in NAMES)
        assert train.flip
        assert "it has test, train" in refused(source, split="validation")


def test_cifar_100(tmp_path: Path) -> None:
    files = {
        "train": python3(batch(TRAIN, key=b"fine_labels") | {b"coarse_labels": [0] * len(TRAIN)}),
        "test": python3(batch(TEST, key=b"fine_labels")),
        "meta": python3({b"fine_label_names": NAMES, b"coarse_label_names": [b"thing"]}),
    }
    dataset = load_data(str(write_folder(tmp_path / "cifar-100-python", files)), cache=tmp_path / "cache")
    np.testing.assert_array_equal(dataset.images, TRAIN)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == list(range(10))


def test_nothing_leaves_the_tar(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "in.tar.gz", cifar10(), folder="../../out")
    load_data(str(source), cache=tmp_path / "cache")
    assert {path.name for path in tmp_path.iterdir()} == {"in.tar.gz", "cache"}


class Calls:
    """Pickles as a call of ``os.mkdir``."""

    def __init__(self, made: Path) -> None:
        self.made = str(made)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.made,)


class ForgedDtype:
    """Pickles as a dtype of objects that says it has none; NumPy then takes bytes for pointers and crashes."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
        return np.dtype, ("V8", False, True), state


class ForgedArray:
    def __reduce__(self) -> tuple[Any, ...]:
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1,), ForgedDtype(), False, b"A" * 8)


@pytest.mark.parametrize("name", ["data_batch_2", "batches.meta"])
def test_a_pickle_calls_nothing(tmp_path: Path, name: str) -> None:
    pickled = python3({b"data": Calls(tmp_path / "called")})
    source = write_tar(tmp_path / "evil.tar.gz", cifar10() | {name: pickled})
    assert f"{name}: not a pickle of plain arrays" in refused(source)
    assert "mkdir" in refused(source)
    assert not (tmp_path / "called").exists()
    pickle.loads(pickled)  # it is armed
    assert (tmp_path / "called").exists()


@pytest.mark.parametrize(
    "data", [ForgedArray(), np.zeros((2, 3072), np.int8), np.zeros((2, 3072)), np.zeros((2, 3072), np.uint8, order="F")]
)
def test_arrays_are_of_bytes(tmp_path: Path, data: object) -> None:
    files = cifar10() | {"data_batch_1": python3({b"data": data, b"labels": [0, 1]})}
    assert "not one of bytes" in refused(write_folder(tmp_path / "forged", files))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a pickle"),
        (python3(batch(TRAIN))[:-5000], "not a pickle"),
        (python3([1, 2]), "not a pickle of a dictionary"),
        (python3({b"labels": [1]}), "not a CIFAR batch"),
        (python3(batch(TRAIN) | {b"labels": [1]}), "not a CIFAR batch"),
        (python3(batch(TRAIN[:, :16])), "not a CIFAR batch"),
        (python3(batch(TRAIN) | {b"labels": [b"x"] * len(TRAIN)}), "not a CIFAR batch"),
    ],
)
def test_other_pickles(tmp_path: Path, content: bytes, said: str) -> None:
    source = write_tar(tmp_path / "wrong.tar.gz", cifar10() | {"data_batch_3": content})
    assert f"data_batch_3: {said}" in refused(source)


def test_archives_that_cannot_be_used(tmp_path: Path) -> None:
    files = cifar10()
    whole = write_tar(tmp_path / "whole.tar.gz", files).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "not a readable tar" in refused(tmp_path / "cut.tar.gz")
    (tmp_path / "text.tar.gz").write_bytes(b"text")
    assert "not a readable tar" in refused(tmp_path / "text.tar.gz")
    assert "not CIFAR's Python archive" in refused(write_tar(tmp_path / "other.tar.gz", {"a.png": b""}))
    del files["data_batch_3"]
    assert "data_batch_3 missing" in refused(write_tar(tmp_path / "part.tar.gz", files))
    files = cifar10() | {"batches.meta": python3({b"label_names": [1]})}
    assert "no list label_names" in refused(write_tar(tmp_path / "meta.tar.gz", files))
