"""Where runs write: folders and files that appear whole or not at all, states, the cache; hashes of weights."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from core.catalog.card import CheckpointError
from core.errors import FewstepError, InvalidRequest


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
    except SafetensorError as error:  # which of files that are written says what went wrong with the disk
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(errno.EIO, str(error), str(folder)) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def refuse_unwritable(path: Path, *, field: str = "out") -> None:
    """Raise ``InvalidRequest`` where ``path`` could not be written; the last of its folders that is there is tried."""
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".fewstep-") as file:
            file.write(b" ")
            file.flush()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written ({error.strerror})", field=field) from error


def reserve(path: Path, *sizes: int) -> None:
    """Raise ``OSError`` unless there is room beside ``path`` for files of so many bytes; nothing is left of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "posix_fallocate"):
        return  # then it shows when it is written
    try:
        with ExitStack() as stack:
            for size in sizes:
                file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # no such call on this file system
            raise OSError(error.errno, f"{error.strerror}: {sum(sizes):,} bytes are needed", str(path)) from error


@contextmanager
def last_step(out: Path, state_path: Path) -> Iterator[None]:
    """Around writing what came of a run: if that fails, the error says where the run is kept.

    Raises:
        FewstepError: It could not be written.
    """
    try:
        yield
    except OSError as error:
        raise FewstepError(
            f"{out} cannot be written ({error.strerror or error}); what was trained is kept in {state_path}, and the "
            "same command writes it once that is mended",
            field="out",
        ) from error


@contextmanager
def in_place_of(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of ``path`` at the end, and vanishes if it is not reached."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as file:
        try:
            yield file
            file.close()
            Path(file.name).chmod(0o644)  # tempfile makes it private
            Path(file.name).replace(path)
        except OSError as error:
            if error.filename:
                raise
            # Writing does not say to which file; NumPy not even what hindered it.
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        finally:
            Path(file.name).unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$FEWSTEP_CACHE``, else ``~/.cache/fewstep``; it need not exist."""
    return Path(os.path.expanduser(os.environ.get("FEWSTEP_CACHE") or "~/.cache/fewstep"))  # noqa: PTH111 (no error)


def refuse_existing(folder: Path) -> None:
    """Raise ``InvalidRequest`` where something would be written over."""
    if folder.exists():
        raise InvalidRequest(f"{folder} exists; choose another name or delete it first", field="out")


def refuse_out(folder: Path) -> None:
    """Raise ``InvalidRequest`` where a run could not write its folder, because of what is there or is not."""
    refuse_existing(folder)
    refuse_unwritable(folder)


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
