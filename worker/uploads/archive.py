"""Archives of strangers: what they say of themselves is checked before anything is read or written."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from core.errors import InvalidRequest

MOST_MEMBERS = 5_000_000
_CHUNK = 1 << 20


def check_zip(path: Path, *, most_bytes: int) -> list[zipfile.ZipInfo]:
    """The files in a zip.

    Raises:
        InvalidRequest: It is damaged; a member is encrypted, a link, or named out of the zip, as another, or as another
            but for small and capital letters; or all are too large together.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidRequest(f"not a readable zip ({error})") from error
    for member in members:
        mode = member.external_attr >> 16
        if member.flag_bits & 0x1:
            raise InvalidRequest(f"{member.filename!r} in the zip is encrypted")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidRequest(f"{member.filename!r} in the zip is a link or another special file")
        if "\\" in member.orig_filename or "\0" in member.orig_filename:
            raise InvalidRequest(f"{member.orig_filename!r} in the zip is no name of a file")
    files = [member for member in members if not member.is_dir()]
    _check_names((member.filename for member in members), "zip")
    _check_size(sum(member.file_size for member in files), most_bytes)
    return files


def check_tar(path: Path, *, most_bytes: int) -> None:
    """As of ``check_zip``, of a tar, packed or not."""
    names, size = [], 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not (member.isfile() or member.isdir()):
                    raise InvalidRequest(f"{member.name!r} in the tar is a link or another special file")
                names.append(member.name)
                size += member.size
                _check_size(size, most_bytes)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise InvalidRequest(f"not a readable tar ({error})") from error
    _check_names(names, "tar")


def unpack(path: Path, target: Path, *, endings: tuple[str, ...], most_bytes: int) -> None:
    """Write those files of a zip that end so into a folder; errors as of ``check_zip``."""
    members = check_zip(path, most_bytes=most_bytes)
    with zipfile.ZipFile(path) as archive:
        for member in members:
            if not member.filename.endswith(endings):
                continue
            file = target / member.filename
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with archive.open(member) as source, file.open("xb") as copy:
                    while chunk := source.read(_CHUNK):
                        copy.write(chunk)
            # RuntimeError stands for a password, NotImplementedError for an unknown compression.
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                raise InvalidRequest(f"cannot read {member.filename!r} in the zip ({error})") from error


def _check_names(names: Iterable[str], what: str) -> None:
    known: set[str] = set()
    for count, name in enumerate(names, 1):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0]:
            raise InvalidRequest(f"{name!r} in the {what} leads out of it")
        folded = str(path).casefold()
        if folded in known:
            raise InvalidRequest(f"{name!r} is in the {what} twice, or once more in other letters")
        known.add(folded)
        if count > MOST_MEMBERS:
            raise InvalidRequest(f"more than {MOST_MEMBERS} files in the {what}")


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise InvalidRequest(f"it comes to more than {most_bytes} bytes unpacked")
