"""Pictures as files: a folder of them, one sub-folder for each class, or a zip of either."""

import zipfile
import zlib
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path, PurePosixPath

from models.data.sources import Contents, Picture, Source, bad_data, of_split

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def folder_source(path: Path, *, split: str) -> Source:
    """A folder of pictures, or of one sub-folder of pictures for each class.

    Args:
        path: The folder.
        split: Which sub-folder to read if all are named after splits (``train``, ``test``) and not after classes.

    Raises:
        InvalidRequest: There are no pictures or none of this split. Reading raises it for pictures of which some are in
            class folders and some are not, and for a file that cannot be read.
    """
    files = {PurePosixPath(file.relative_to(path).as_posix()): file for file in path.rglob("*") if file.is_file()}
    names = _picture_names(files, split=split, where=path)

    def load(name: PurePosixPath) -> bytes:
        try:
            return files[name].read_bytes()
        except OSError as error:
            raise bad_data(f"{files[name]}: cannot read the picture ({error.strerror})") from error

    return Source(path.name, tuple(files[name] for name in names), lambda: _contents(names, load, where=path))


def zip_source(path: Path, *, split: str) -> Source:
    """A zip of an image folder. Members are read in memory, so whatever their paths say, nothing is written.

    Members whose paths point out of the zip by ``..`` are left out, as hidden ones are.

    Args:
        path: The zip.
        split: As for a folder.

    Raises:
        InvalidRequest: Reading raises it for a damaged or encrypted zip, and for what a folder must not hold.
    """

    def read() -> Contents:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise bad_data(f"{path}: not a readable zip ({error})") from error
        members = {PurePosixPath(info.filename.lstrip("/")): info for info in archive.infolist() if not info.is_dir()}

        def load(name: PurePosixPath) -> bytes:
            try:
                return archive.read(members[name])
            # RuntimeError stands for a member with a password, NotImplementedError for an unknown compression.
            except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
                raise bad_data(f"{path}: cannot read {name} in the zip ({error})") from error

        return _contents(_picture_names(members, split=split, where=path), load, where=path)

    return Source(path.name, (path,), read)


def _picture_names(files: Iterable[PurePosixPath], *, split: str, where: Path) -> list[PurePosixPath]:
    """Pictures of the split among ``files``, in order."""
    names = sorted(
        name
        for name in files
        if name.suffix.lower() in _SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in name.parts)
    )
    if not names:
        raise bad_data(f"{where}: no pictures in it; files ending in {', '.join(sorted(_SUFFIXES))} are read")
    words = dict(zip(names, (inner[0] for inner in _below_shared_folders(names)), strict=True))
    return of_split(words, split=split, where=where)


def _below_shared_folders(names: list[PurePosixPath]) -> list[tuple[str, ...]]:
    """Parts of each name below the folders that all have in common: zips often have one around everything."""
    folders = [name.parts[:-1] for name in names]
    # What the first and the last in order share, all share.
    pairs = zip(min(folders), max(folders), strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return [name.parts[shared:] for name in names]


def _contents(names: list[PurePosixPath], load: Callable[[PurePosixPath], bytes], *, where: Path) -> Contents:
    """Pictures with the classes that their first folders name, sorted as torchvision's ``ImageFolder`` does."""
    below = _below_shared_folders(names)
    loose = [name for name, parts in zip(names, below, strict=True) if len(parts) == 1]
    if loose and len(loose) < len(names):
        raise bad_data(f"{where}: {loose[0]} is in no class folder, though others are; all pictures must be, or none")
    class_names = None if loose else tuple(sorted({parts[0] for parts in below}))
    index = {name: label for label, name in enumerate(class_names or ())}
    pictures = (
        Picture(str(where / name), load(name), index.get(parts[0])) for name, parts in zip(names, below, strict=True)
    )
    return Contents(pictures, class_names)
