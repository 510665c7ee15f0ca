"""Follow growing log files, through rotation."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def follow(path: Path) -> Iterator[list[str]]:
    """The whole lines that were appended to a file since the last time of asking, for ever.

    Begins at the file's present end; creates the file, and its folder, if need be. When the file is replaced by a new
    one of the same name, the old one is read to its end first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    return _appended(path, file)


def _appended(path: Path, file: BinaryIO) -> Iterator[list[str]]:
    unfinished = b""
    try:
        while True:
            # Asked before reading: once it is replaced nothing more is written to it.
            try:
                replaced = not os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                replaced = False  # not yet
            *lines, unfinished = (unfinished + file.read()).split(b"\n")
            yield [line.decode(errors="replace").rstrip() for line in lines]
            if replaced:
                file.close()
                file = path.open("rb")
    finally:
        file.close()
