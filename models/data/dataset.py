"""Training data from any source, decoded once and mapped from disk from then on."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.errors import FewstepError
from models.checkpoints.files import cache_folder
from models.data.cifar_archive import cifar_source, is_cifar_folder
from models.data.decoded import read_decoded, write_decoded
from models.data.image_folder import folder_source, zip_source
from models.data.listing import list_folder
from models.data.parquet_files import ALL_FOUND, Columns, is_table, parquet_source
from models.data.sources import DIGITS, SYNTHETIC, Source, bad_data, digits_source

_DECODER = 2  # raised whenever the same source decodes to other bytes than before
_TAR, _TAR_AT = b"ustar", 257
_ALLOWED = (
    f"{DIGITS!r} or the path of a Parquet file or a folder of them, of an image folder or a zip of one, or of "
    "CIFAR's Python archive (.tar.gz or extracted)"
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures of one shape.

    Attributes:
        name: ``digits``, or the last part of the source's path.
        images: (N, H, W, C) uint8, read-only and mapped from disk; C is 1 if every picture is grey, else 3 for RGB.
        labels: (N,) int64 class indices from 0, or None where the source has none.
        class_names: Name of each class, or None where the source does not name them.
        flip: Whether a mirrored picture is one of the same kind, so that training may mirror.
        fingerprint: SHA-256 of shape, pixels and labels: the same wherever and in whatever container they lie.
        split: Which split of the source it is; None where that is all one.
        left_out: What of the source is not read, and what is read otherwise than it is, in a few words each.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    flip: bool
    fingerprint: str
    split: str | None = None
    left_out: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width, as in cards."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width


def load_data(
    source: str,
    *,
    split: str = "train",
    size: int | None = None,
    flip: bool | None = None,
    columns: Columns = ALL_FOUND,
    cache: Path | None = None,
) -> Dataset:
    """Open a data set, decoding it unless that has been done before.

    Args:
        source: ``digits``, or the path of a Parquet file in the Hugging Face Hub's image layout or a folder of them, of
            an image folder (of pictures, or of one sub-folder for each class) or a zip of one, or of CIFAR-10's or
            CIFAR-100's Python archive, packed or extracted.
        split: Which split to read where the source has several; see ``models.data.splits``.
        size: Side in pixels; each picture is cropped about its centre to a square and resized. None leaves them alone.
        flip: Whether training may mirror pictures; None lets the source say (digits may not be).
        columns: Which of a Parquet file.
        cache: Folder of decoded data; by default that of ``models.checkpoints.files.cache_folder``.

    Raises:
        InvalidRequest: There is no such source, it is damaged or empty, or its pictures differ in shape; the message
            names the file and row.
        FewstepError: The cache cannot be written.
    """
    if size is not None and size < 1:
        raise bad_data(f"pictures cannot be resized to {size} pixels; the least is 1")
    found = _find(source, split=split, columns=columns)
    if not found.is_table:
        columns.refuse(source)
    folder = cache or cache_folder()
    entry = folder / f"{_key(found, split=split, size=size, columns=columns)}.npy"
    decoded = read_decoded(entry)
    if decoded is None:
        try:
            write_decoded(entry, found, size=size)
        except OSError as error:
            raise FewstepError(f"{folder}: cannot keep decoded data ({error}); FEWSTEP_CACHE names a folder") from error
        decoded = read_decoded(entry)
    if decoded is None:
        raise FewstepError(f"{entry}: decoded data reads back otherwise than it was written")
    return Dataset(
        name=found.name,
        images=decoded.images,
        labels=decoded.labels,
        class_names=decoded.class_names,
        flip=found.flip if flip is None else flip,
        fingerprint=decoded.fingerprint,
        split=found.split,
        left_out=(*found.left_out, *decoded.left_out),
    )


def _find(source: str, *, split: str, columns: Columns) -> Source:
    """The kind of source that lies at the path."""
    if source == DIGITS:
        return digits_source()
    if source == SYNTHETIC:
        raise bad_data(
            f"{SYNTHETIC} images are sampled from a teacher, in fewstep distill alone; here it is {_ALLOWED}"
        )
    path = Path(os.path.expanduser(source)).absolute()  # noqa: PTH111 (Path's raises where there is no such user)
    if path.is_dir():
        if is_cifar_folder(path):
            return cifar_source(path, split=split)
        listing = list_folder(path)
        if any(map(is_table, listing.files)):
            return parquet_source(path, listing, split=split, columns=columns)
        return folder_source(path, listing, split=split)
    if not path.is_file():
        raise bad_data(f"{source}: no such file or folder; data is {_ALLOWED}")
    name = path.name.lower()
    begins = container_of(path)
    if name.endswith(".parquet") or begins == "parquet":
        return parquet_source(path, split=split, columns=columns)
    if name.endswith(".zip") or begins == "zip":
        return zip_source(path, split=split)
    if name.endswith((".tar.gz", ".tgz", ".tar")) or begins == "tar":
        return cifar_source(path, split=split)
    raise bad_data(f"{source}: not a kind of file that is read; data is {_ALLOWED}")


def container_of(path: Path) -> Literal["parquet", "zip", "tar"] | None:
    """What a file is by its first bytes, whatever its name; a compressed one is taken for a tar."""
    with path.open("rb") as file:
        begins = file.read(_TAR_AT + len(_TAR))
    if begins.startswith(b"PAR1"):
        return "parquet"
    if begins.startswith(b"PK\x03\x04"):
        return "zip"
    return "tar" if begins.startswith(b"\x1f\x8b") or begins[_TAR_AT:] == _TAR else None


def _key(source: Source, *, split: str, size: int | None, columns: Columns) -> str:
    """Names the decoded form of a source as it lies on disk now, without reading it."""
    stats = [(str(file), file.stat()) for file in source.files]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    facts = [_DECODER, source.name, split, size, columns, files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
