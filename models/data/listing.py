"""What lies in a folder or zip: the files that are read, and what is not and why."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from models.data.sources import bad_data

_NAMED = 3  # of what is skipped for one reason


class Listing(NamedTuple):
    """Files.

    Attributes:
        files: Each with where it is on disk: itself, or the zip that it is in.
        skipped: What is not among them, by the reason.
    """

    files: dict[PurePosixPath, Path]
    skipped: dict[str, list[PurePosixPath]]


def list_folder(root: Path) -> Listing:
    """All files below a folder, through links as well; hidden ones, broken links and links that lead back are skipped.

    Raises:
        InvalidRequest: A folder cannot be read.
    """
    files: dict[PurePosixPath, Path] = {}
    skipped: dict[str, list[PurePosixPath]] = {}

    def visit(folder: Path, above: frozenset[Path]) -> None:
        above |= {folder.resolve()}
        for entry in sorted(folder.iterdir()):
            name = PurePosixPath(entry.relative_to(root).as_posix())
            if is_hidden(name):
                skipped.setdefault("hidden files", []).append(name)
            elif entry.is_dir():
                if entry.resolve() in above:
                    skipped.setdefault("links that lead back", []).append(name)
                else:
                    before = len(files)
                    visit(entry, above)
                    if len(files) == before:
                        skipped.setdefault("empty folders", []).append(name)
            elif entry.is_file():
                files[name] = entry
            else:
                skipped.setdefault("links to nothing", []).append(name)

    try:
        visit(root, frozenset())
    except OSError as error:
        raise bad_data(f"{error.filename or root}: cannot be read ({error.strerror})") from error
    return Listing(files, skipped)


def is_hidden(name: PurePosixPath) -> bool:
    """Whether a file is none of the user's, such as those that macOS leaves in zips."""
    return any(part.startswith((".", "__MACOSX")) for part in name.parts)


def list_zip(path: Path) -> Listing:
    """All files in a zip but hidden ones and those whose paths point out of it.

    Raises:
        InvalidRequest: It is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise bad_data(f"{path}: not a readable zip ({error})") from error
    names = {PurePosixPath(info.filename.strip("/")): info.is_dir() for info in infos}
    used = {folder for name, is_folder in names.items() if not is_folder for folder in name.parents}
    skipped = {
        "hidden files": [name for name, is_folder in names.items() if is_hidden(name) and not is_folder],
        "empty folders": [
            name for name, is_folder in names.items() if is_folder and not is_hidden(name) and name not in used
        ],
    }
    files = {name: path for name, is_folder in names.items() if not is_folder and not is_hidden(name)}
    return Listing(files, {reason: found for reason, found in skipped.items() if found})


def sort_out(
    listing: Listing, wanted: Callable[[PurePosixPath], bool], *, what: str
) -> tuple[list[PurePosixPath], Mapping[str, Sequence[PurePosixPath]]]:
    """Those files that are wanted, in order, and what is skipped by the reason, folders in which none is wanted as one.

    Args:
        listing: All there are.
        wanted: Says which.
        what: What they are and others are not, in the plural.
    """
    there = sorted(listing.files)
    kept = [name for name in there if wanted(name)]
    used = {folder for name in kept for folder in name.parents}
    unused = [name for name in there if name.parent not in used]
    folders = dict.fromkeys(next(one for one in reversed(name.parents) if one not in used) for name in unused)
    others = [name for name in there if name.parent in used and not wanted(name)]
    reasons = {**listing.skipped, f"folders without {what}": list(folders), f"files that are no {what}": others}
    return kept, {reason: found for reason, found in reasons.items() if found}


def in_words(skipped: Mapping[str, Sequence[PurePosixPath]]) -> tuple[str, ...]:
    """A few words for each reason: ``files that are no pictures: 2 (a.txt, b.txt)``."""
    return tuple(
        f"{reason}: {len(names)} ({', '.join(map(str, names[:_NAMED]))}{', …' if len(names) > _NAMED else ''})"
        for reason, names in skipped.items()
    )
