"""Which split of a data set a file belongs to, by the Hugging Face Hub's rules for names of folders and files."""

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from models.data.sources import NoSuchSplit, bad_data

_KEYWORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}
_WORDS = frozenset().union(*_KEYWORDS.values())
_SEPARATORS = re.compile(r"[-._ \d]+")


class Chosen(NamedTuple):
    """Files of one split.

    Attributes:
        folders: The folders that each file is in, without the one that named the split.
        split: Its name; None where the data are all one.
        shared: How many of them, from the first, all files of all splits have in common: zips often have a folder
            around everything.
        others: The other splits, in words.
    """

    folders: dict[PurePosixPath, tuple[str, ...]]
    shared: int
    split: str | None = None
    others: tuple[str, ...] = ()


def named_split(name: str) -> str | None:
    """The split that a name of a folder or file says: a keyword between separators or digits, in any case.

    None if it says none, or more than one.
    """
    words = set(_SEPARATORS.split(name.lower()))
    found = [split for split, keywords in _KEYWORDS.items() if words & keywords]
    return found[0] if len(found) == 1 else None


def choose_split(paths: Iterable[PurePosixPath], *, split: str, where: Path, all_named: bool) -> Chosen:
    """The files of one split, or all of them where neither folders nor files are named after splits.

    Folders come before file names. Of several levels of folders that is taken which names more splits than one. A
    single folder around everything counts only if its name says nothing else.

    Args:
        paths: Files, relative to ``where``.
        split: A keyword of the split.
        where: For errors.
        all_named: Whether one file name among many that has a keyword in it makes all of them names of splits, as it
            does for tables. Pictures may be called ``test drive.jpg``: of them it does so only with nothing else in it.

    Raises:
        NoSuchSplit: There are splits, but not this one.
        InvalidRequest: One name is that of a split, and one beside it is not.
    """
    folders = {path: path.parts[:-1] for path in paths}
    level = _level_of_splits(folders, where=where)
    if level is not None:
        splits = {path: named_split(parents[level]) for path, parents in folders.items()}
        folders = {path: (*parents[:level], *parents[level + 1 :]) for path, parents in folders.items()}
    else:
        splits = {path: named_split(path.name) for path in folders}
        named = [path for path in folders if splits[path]]
        if not all_named and len(named) < len(folders):
            named = [path for path in named if _says_nothing_else(path.stem)]
        if not named:
            return Chosen(folders, _shared(folders))
        _refuse_strangers({path.name: splits[path] for path in folders}, where=where)
    present = sorted({str(name) for name in splits.values()})
    wanted = named_split(split) or split
    if wanted not in present:
        raise NoSuchSplit(
            f"{where}: no split {wanted!r} in it; it has {', '.join(present)}. A folder or file of it may be named",
            field="data",
        )
    chosen = {path: parents for path, parents in folders.items() if splits[path] == wanted}
    return Chosen(chosen, _shared(folders), wanted, tuple(f"split {name}" for name in present if name != wanted))


def _level_of_splits(folders: Mapping[PurePosixPath, tuple[str, ...]], *, where: Path) -> int | None:
    """How deep the folders are that are named after splits; None if there are none."""
    found = None
    for level in range(max(map(len, folders.values()), default=0)):
        # A file that is not as deep stands beside the folders of those that are.
        words = {parents[level] if len(parents) > level else "": path for path, parents in folders.items()}
        splits = {word or str(path): named_split(word) for word, path in words.items()}
        if None not in splits.values() and len(set(splits.values())) > 1:
            return level
        around = len(splits) == 1 and not _says_nothing_else(next(iter(splits)))  # a zip often has one folder in it
        if found is None and set(splits.values()) != {None} and not around:
            _refuse_strangers(splits, where=where)
            found = level
    return found


def _shared(folders: Mapping[PurePosixPath, tuple[str, ...]]) -> int:
    # What the first and the last in order share, all share.
    pairs = zip(min(folders.values()), max(folders.values()), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _says_nothing_else(name: str) -> bool:
    """Whether a name is a keyword and no more than digits and separators."""
    return _SEPARATORS.sub("", name).lower() in _WORDS


def _refuse_strangers(splits: Mapping[str, str | None], *, where: Path) -> None:
    """Raise ``InvalidRequest`` where a name stands for no split."""
    stranger = next((name for name in sorted(splits) if splits[name] is None), None)
    if stranger is not None:
        split = next(name for name in sorted(splits) if splits[name])
        raise bad_data(
            f"{where}: {split} is named after a split, and {stranger} beside it is not; all must be, or none. Classes "
            "with such names go into a folder named train"
        )
