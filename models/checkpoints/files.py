"""Where runs write: folders and files that appear whole or not at all, states, the cache; hashes of weights."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.catalog.card import CheckpointError
from core.errors import InvalidRequest


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder to write into, which becomes ``folder`` at the end, or vanishes if something is raised.

    Raises:
        InvalidRequest: ``folder`` exists.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes it private
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def in_place_of(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of ``path`` at the end, and vanishes if it is not reached."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as file:
        try:
            yield file
            file.close()
            Path(file.name).chmod(0o644)  # tempfile makes it private
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$FEWSTEP_CACHE``, else ``~/.cache/fewstep``; it need not exist."""
    return Path(os.environ.get("FEWSTEP_CACHE") or "~/.cache/fewstep").expanduser()


def refuse_existing(folder: Path) -> None:
    """Raise ``InvalidRequest`` where something would be written over."""
    if folder.exists():
        raise InvalidRequest(f"{folder} exists; choose another name or delete it first", field="out")


def state_path_of(folder: Path) -> Path:
    """Where the state of the run that will write ``folder`` is kept."""
    return folder.with_name(f"{folder.name}.state.pt")


def verify_weights(path: Path, expected: str) -> None:
    """Raise ``CheckpointError`` unless the weights are there and are those that a card was written for.

    Args:
        path: The weights file.
        expected: The SHA-256 in the card.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is a card but no weights")
    if sha256(path) != expected:
        raise CheckpointError(f"{path}: SHA-256 differs from the card's; the file is damaged or was changed")


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
