"""Pictures as files: a folder of them, one sub-folder for each class, or a zip of either."""

import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image, ImageFile

from models.data.listing import Listing, in_words, list_zip, sort_out
from models.data.sources import Contents, Picture, Source, bad_data
from models.data.splits import Chosen, choose_split

_VIDEO = "MPEG"  # Pillow tells it from others, and cannot read it


@cache
def picture_suffixes() -> frozenset[str]:
    """How names of files end that Pillow reads, in lower case."""
    Image.init()
    # Of a stub Pillow knows the format alone, until a program brings what reads it.
    unread = {_VIDEO} | {
        name
        for name, (kind, _) in Image.OPEN.items()
        if isinstance(kind, type) and issubclass(kind, ImageFile.StubImageFile)
    }
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN and name not in unread
    )


def folder_source(path: Path, listing: Listing, *, split: str) -> Source:
    """A folder of pictures, or of one sub-folder of pictures for each class.

    Args:
        path: The folder.
        listing: What is in it.
        split: Which pictures to read if folders or files are named after splits.

    Raises:
        InvalidRequest: There are no pictures or none of this split. Reading raises it for pictures of which some are in
            class folders and some are not, and for a file that cannot be read.
    """

    def load(name: PurePosixPath) -> bytes:
        try:
            return listing.files[name].read_bytes()
        except OSError as error:
            raise bad_data(f"{listing.files[name]}: cannot read the picture ({error.strerror})") from error

    return _source(path, listing, lambda: load, split=split)


def zip_source(path: Path, *, split: str) -> Source:
    """A zip of an image folder. Members are read in memory, so whatever their paths say, nothing is written.

    Args:
        path: The zip.
        split: As for a folder.

    Raises:
        InvalidRequest: It is damaged, or holds no pictures or none of this split. Reading raises it for an encrypted
            zip, and for what a folder must not hold.
    """

    def opened() -> Callable[[PurePosixPath], bytes]:
        archive = zipfile.ZipFile(path)
        members = {PurePosixPath(info.filename.strip("/")): info for info in archive.infolist()}

        def load(name: PurePosixPath) -> bytes:
            try:
                return archive.read(members[name])
            # RuntimeError stands for a member with a password, NotImplementedError for an unknown compression.
            except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
                raise bad_data(f"{path}: cannot read {name} in the zip ({error})") from error

        return load

    return _source(path, list_zip(path), opened, split=split)


def _source(
    path: Path, listing: Listing, opened: Callable[[], Callable[[PurePosixPath], bytes]], *, split: str
) -> Source:
    """The pictures of the split among the files; ``opened`` gives what reads one."""
    endings = picture_suffixes()
    names, skipped = sort_out(listing, lambda name: name.suffix.lower() in endings, what="pictures")
    if not names:
        raise bad_data(f"{path}: no pictures in it; files ending in {', '.join(sorted(endings))} are read")
    chosen = choose_split(names, split=split, where=path, all_named=False)
    return Source(
        path.name,
        tuple(dict.fromkeys(listing.files[name] for name in chosen.folders)),
        lambda: _contents(chosen, opened(), where=path),
        split=chosen.split,
        left_out=(*in_words(skipped), *chosen.others),
    )


def _contents(chosen: Chosen, load: Callable[[PurePosixPath], bytes], *, where: Path) -> Contents:
    """Pictures with the classes that their first folders name, sorted as torchvision's ``ImageFolder`` does."""
    at = chosen.shared
    classes = {name: parents[at] if len(parents) > at else None for name, parents in chosen.folders.items()}
    loose = next((name for name, one in classes.items() if one is None), None)
    if loose and any(classes.values()):
        raise bad_data(f"{where}: {loose} is in no class folder, though others are; all pictures must be, or none")
    class_names = tuple(sorted({one for one in classes.values() if one is not None})) or None
    index = {name: label for label, name in enumerate(class_names or ())}
    pictures = (Picture(str(where / name), load(name), index.get(one or "")) for name, one in classes.items())
    return Contents(pictures, class_names)
