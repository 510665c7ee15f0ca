"""CIFAR's original Python archives, which are pickles, read without letting a pickle run anything.

Admitting numpy's own reconstruction would not do: ``numpy.dtype`` takes its flags from the pickle, which can so make an
array of bytes pass for one of pointers. What these pickles call of numpy are therefore stand-ins that keep plain bytes.
"""

import codecs
import io
import math
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from models.data.sources import Contents, NoSuchSplit, Picture, Source, bad_data
from models.data.splits import named_split


class _Layout(NamedTuple):
    files: dict[str, tuple[str, ...]]  # of each split
    labels: bytes
    meta: str
    class_names: bytes


_CIFAR_10 = _Layout(
    files={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    labels=b"labels",
    meta="batches.meta",
    class_names=b"label_names",
)
_CIFAR_100 = _Layout(
    files={"train": ("train",), "test": ("test",)},
    labels=b"fine_labels",
    meta="meta",
    class_names=b"fine_label_names",
)


def is_cifar_folder(path: Path) -> bool:
    """Whether ``path`` looks like the extracted archive: ``cifar-10-batches-py`` or ``cifar-100-python``."""
    layouts = (_CIFAR_10, _CIFAR_100)
    return any(all((path / name).is_file() for name in (layout.meta, *layout.files["test"])) for layout in layouts)


def cifar_source(path: Path, *, split: str) -> Source:
    """CIFAR-10 or CIFAR-100 (with its fine labels) as its author publishes it: 32x32 RGB.

    Args:
        path: The tar (``cifar-10-python.tar.gz``) or the folder extracted from it.
        split: ``train`` or ``test``.

    Raises:
        NoSuchSplit: The split is neither.
        InvalidRequest: Reading raises it for a damaged archive, for missing batches, and for a pickle that holds
            anything but arrays of bytes, numbers, text and containers of them.
    """
    split = named_split(split) or split
    if split not in _CIFAR_10.files:
        raise NoSuchSplit(f"{path}: no split {split!r} in it; it has test, train", field="data")
    files = (path,) if path.is_file() else tuple(sorted(path.iterdir()))
    return Source(path.name, files, lambda: _read(path, split), split=split)


def _read(path: Path, split: str) -> Contents:
    with _open(path) as (names, load):
        layout = next((layout for layout in (_CIFAR_10, _CIFAR_100) if layout.meta in names), None)
        if layout is None:
            raise bad_data(f"{path}: not CIFAR's Python archive, which holds {_CIFAR_10.meta} or {_CIFAR_100.meta}")
        missing = [name for name in layout.files[split] if name not in names]
        if missing:
            raise bad_data(f"{path}: {', '.join(missing)} missing; the archive is incomplete")
        class_names = _class_names(_unpickle(load(layout.meta), path / layout.meta), layout, path)

    def pictures() -> Iterator[Picture]:
        with _open(path) as (_, load):
            for name in layout.files[split]:
                yield from _pictures(_unpickle(load(name), path / name), layout, path / name)

    return Contents(pictures(), class_names)


@contextmanager
def _open(path: Path) -> Iterator[tuple[set[str], Callable[[str], bytes]]]:
    """Names of the files in the folder or tar, and a function that reads one; nothing is extracted."""
    try:
        if path.is_dir():
            yield {file.name for file in path.iterdir()}, lambda name: (path / name).read_bytes()
            return
        with tarfile.open(path) as tar:
            members = {PurePosixPath(member.name).name: member for member in tar.getmembers() if member.isfile()}

            def load(name: str) -> bytes:
                file = tar.extractfile(members[name])
                assert file is not None  # only regular files are members
                return file.read()

            yield set(members), load
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise bad_data(f"{path}: not a readable tar or folder ({error})") from error


def _class_names(meta: dict[Any, Any], layout: _Layout, where: Path) -> tuple[str, ...]:
    names = meta.get(layout.class_names)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise bad_data(f"{where / layout.meta}: no list {layout.class_names.decode()} in it")
    return tuple(name.decode(errors="replace") for name in names)


def _pictures(batch: dict[Any, Any], layout: _Layout, where: Path) -> Iterator[Picture]:
    data, labels = batch.get(b"data"), batch.get(layout.labels)
    if not (
        isinstance(data, _Array)
        and isinstance(labels, list)
        and all(isinstance(label, int) for label in labels)
        and data.shape == (len(labels), 3 * 32 * 32)
    ):
        raise bad_data(f"{where}: not a CIFAR batch, which holds data of N x 3072 bytes and N {layout.labels.decode()}")
    pixels = np.frombuffer(data.pixels, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        yield Picture(f"{where}: row {row}", Image.fromarray(image), label)


class _Dtype:
    """Stands for ``numpy.dtype``: keeps its name only."""

    def __init__(self, name: str | bytes = "", *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Byte order and fields, of which bytes have none."""


class _Array:
    """Stands for ``numpy.ndarray`` and the function that makes an empty one: keeps an array's shape and bytes."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = ()
        self.pixels = b""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, fortran_order, pixels = state
        named = dtype.name in ("u1", b"u1", "uint8", b"uint8")
        if not named or fortran_order or not isinstance(pixels, bytes) or len(pixels) != math.prod(shape):
            raise pickle.UnpicklingError("an array that is not one of bytes, row by row")
        self.shape, self.pixels = shape, pixels


class _ArraysOnly(pickle.Unpickler):
    _ADMITTED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes for Python 2
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # noqa: ANN401 (as in the base class)
        try:
            return self._ADMITTED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module_name}.{global_name}") from None


def _unpickle(content: bytes, where: Path) -> dict[Any, Any]:
    """The dictionary in a CIFAR pickle, its keys and text as bytes, its arrays as ``_Array``."""
    try:
        value = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise bad_data(f"{where}: not a pickle of plain arrays, which is all that is read ({error})") from error
    if not isinstance(value, dict):
        raise bad_data(f"{where}: not a pickle of a dictionary, as CIFAR's are")
    return value
