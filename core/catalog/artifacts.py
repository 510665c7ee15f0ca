"""Files that outlive a process: training states, checkpoints and pictures of jobs, in a folder or in object storage."""

import copy
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import fsspec  # type: ignore[import-untyped]
from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from core.errors import FewstepError, NotFound, Unavailable
from core.settings import Settings

_CHUNK = 1 << 20
_S3_LIMITS = {"connect_timeout": 3, "read_timeout": 6, "retries": {"total_max_attempts": 1}}
"""Seconds, and no tries but those of s3fs: its own limits and botocore's would together be minutes."""
_S3_TRIES = 2
_UPLOAD_S, _UPLOAD_BYTES_S = 15, 500_000
"""An upload has so many seconds, and one more for so many bytes."""
_OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE)
"""What goes wrong with a copy here and never with object storage."""
RETRY_AFTER_S = 10

P = ParamSpec("P")
R = TypeVar("R")


class StorageAway(Unavailable):
    """Object storage does not answer in time, or refuses; that may pass."""


def _reaching(method: Callable[Concatenate["ArtifactStore", P], R]) -> Callable[Concatenate["ArtifactStore", P], R]:
    """For what reaches for object storage: its errors become ``StorageAway``, which a patient store waits out."""

    @wraps(method)
    def reach(self: "ArtifactStore", /, *args: P.args, **kwargs: P.kwargs) -> R:
        while True:
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                away = self._away(error)
                if away is None:
                    raise
                if self._wait is None:
                    raise away from error
                self._wait(away)

    return reach


class ArtifactStore:
    """Files by key below one URL of fsspec's: a folder, or ``s3://bucket/prefix`` (with the extra ``s3``).

    A key is written once and never changed, so what was read of it stays true: who replaces something writes another
    key and lets the record point to it.
    """

    def __init__(self, url: str, *, cache: Path) -> None:
        """Connect to a store.

        Args:
            url: Where the files are.
            cache: Folder for copies of what is not on this machine.
        """
        self._fs: Any
        is_s3 = url.startswith(("s3:", "s3a:"))
        self._fs, root = fsspec.core.url_to_fs(url, **({"config_kwargs": _S3_LIMITS} if is_s3 else {}))
        if is_s3:
            self._fs.retries = _S3_TRIES
        self._wait: Callable[[StorageAway], None] | None = None
        self._root = root.rstrip("/")
        self._cache = cache

    def impatient(self) -> "ArtifactStore":
        """The same store for one who does not wait while it is away."""
        return self.patient(None)

    def patient(self, wait: Callable[[StorageAway], None] | None) -> "ArtifactStore":
        """The same store for one who waits while it is away: ``wait`` is called between two tries, and may raise."""
        other = copy.copy(self)
        other._wait = wait
        return other

    @_reaching
    def put(self, source: Path, key: str) -> None:
        """Store a file, or a folder with all below it; a single file appears whole or not at all.

        Raises:
            OSError: It cannot be written to the folder that the store is.
            StorageAway: The store is none and cannot be reached; so all others, too.
        """
        for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
            part = key if file == source else f"{key}/{file.relative_to(source).as_posix()}"
            target = f"{self._root}/{part}"
            if self._is_local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                # Of its own name, since two who write the same key must not share it.
                with tempfile.NamedTemporaryFile(dir=Path(target).parent, prefix=".", delete=False) as partial:
                    try:
                        with file.open("rb") as opened:
                            shutil.copyfileobj(opened, partial, _CHUNK)
                        partial.close()
                        Path(partial.name).chmod(0o644)
                        Path(partial.name).replace(target)
                    except BaseException:
                        Path(partial.name).unlink(missing_ok=True)
                        raise
            else:
                try:
                    self._upload(file, target)
                except FileNotFoundError as error:
                    raise StorageAway("object storage has no such bucket", retry_after=RETRY_AFTER_S) from error

    @_reaching
    def folder(self, key: str) -> Path:
        """The folder ``key`` on this machine: where it is, or a copy made once.

        Raises:
            NotFound: There is no such folder.
        """
        if self._is_local:
            return self._found(Path(self._root, key), key)
        copy = self._cache / key
        if not copy.is_dir():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=copy.parent) as partial:
                for part in self.files(key):
                    here = Path(partial, "copy", part)
                    here.parent.mkdir(parents=True, exist_ok=True)
                    self._fs.get_file(f"{self._root}/{key}/{part}", str(here))
                try:
                    self._found(Path(partial, "copy"), key).rename(copy)
                except OSError:
                    if not copy.is_dir():  # else another was faster
                        raise
        return copy

    @_reaching
    def fetch(self, key: str, target: Path) -> None:
        """Copy a file to this machine.

        Raises:
            NotFound: There is no such file.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        try:
            with partial.open("wb") as file:
                for chunk in self.read(key):
                    file.write(chunk)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def read(self, key: str) -> Iterator[bytes]:
        """The content of a file, piece by piece.

        Raises:
            NotFound: There is no such file; at the first piece.
        """
        try:
            with self._fs.open(f"{self._root}/{key}", "rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise _missing(key) from None
        except Exception as error:
            away = self._away(error)
            if away is None:
                raise
            raise away from error

    @_reaching
    def files(self, key: str) -> list[str]:
        """Paths of all files below a folder, relative to it; none if there is no such folder."""
        prefix = f"{self._root}/{key}/"
        return sorted(path.removeprefix(prefix) for path in self._find(prefix))

    @_reaching
    def remove(self, key: str) -> None:
        """Remove a file or a folder; it is no error if it is not there."""
        target = f"{self._root}/{key}"
        self._fs.invalidate_cache()
        if self._fs.exists(target):
            self._fs.rm(target, recursive=True)
        shutil.rmtree(self._cache / key, ignore_errors=True)

    @property
    def here(self) -> Path | None:
        """The folder that it is, if it is one."""
        return Path(self._root) if self._is_local else None

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def _find(self, prefix: str) -> list[str]:
        self._fs.invalidate_cache()  # another process may have written since
        return list(self._fs.find(prefix))

    def _upload(self, file: Path, target: str) -> None:
        if isinstance(self._fs, AsyncFileSystem):
            # A limit of its own: botocore asks before it sends a body, and waits for the answer without one.
            limit_s = _UPLOAD_S + file.stat().st_size / _UPLOAD_BYTES_S
            sync(self._fs.loop, self._fs._put_file, str(file), target, timeout=limit_s)
        else:
            self._fs.put_file(str(file), target)

    def _away(self, error: Exception) -> StorageAway | None:
        """What an error means for who wants the store; None where it is not object storage's."""
        if isinstance(error, StorageAway):
            return error
        if self._is_local or isinstance(error, (FewstepError, FileNotFoundError)):
            return None
        if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:
            return None
        return StorageAway(f"object storage {_reason(error)}", retry_after=RETRY_AFTER_S)

    @staticmethod
    def _found(folder: Path, key: str) -> Path:
        if not folder.is_dir():
            raise _missing(key)
        return folder


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The artifact store of the settings."""
    return ArtifactStore(settings.artifacts, cache=settings.var / "artifact-cache")


def _reason(error: Exception) -> str:
    """In words for a client, without addresses and names of ours."""
    response: dict[str, Any] = next(
        (found for one in (error, error.__cause__) if (found := getattr(one, "response", None))), {}
    )
    code, kind = str(response.get("Error", {}).get("Code", "")), type(error).__name__
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return "does not answer in time"
    if isinstance(error, PermissionError) or "Credential" in kind or "Token" in kind:
        return f"refuses access ({code or kind}): its credentials are wrong or have expired"
    return f"answers {code}" if code else f"cannot be reached ({kind})"


def _missing(key: str) -> NotFound:
    return NotFound(f"the artifact {key} is not there (any more)")
