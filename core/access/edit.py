"""Changes of the file of keys, each in one step that no reader sees half of."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydantic import ValidationError

from core.access.keys import NAME_WORDS, Key, Keys, digest, new_secret, read_keys
from core.errors import FewstepError, InvalidRequest


def add(path: Path, name: str, **facts: Any) -> str:  # noqa: ANN401
    """Make a key of these facts, as of ``Key``, in a file that need not be there yet.

    Returns:
        The key, which nothing keeps.

    Raises:
        FewstepError: A fact is not allowed, there is a key of that name, or the file cannot be changed.
    """
    secret = new_secret()
    try:
        key = Key(name=name, sha256=digest(secret), created=datetime.now(UTC).replace(microsecond=0), **facts)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field, words = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        if field == "name":
            raise InvalidRequest(f"NAME must be {NAME_WORDS}") from None
        raise InvalidRequest(words, field=field) from None

    def added(keys: Keys) -> Keys:
        if any(other.name == name for other in keys.keys):
            raise InvalidRequest(f"there is a key {name} already; revoke it first")
        return Keys(keys=(*keys.keys, key))

    _change(path, added)
    return secret


def revoke(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises:
        FewstepError: There is none of that name, or the file cannot be changed.
    """

    def without(keys: Keys) -> Keys:
        left = tuple(key for key in keys.keys if key.name != name)
        if len(left) == len(keys.keys):
            there = ", ".join(key.name for key in keys.keys) or "none"
            raise InvalidRequest(f"there is no key {name}; there are {there}")
        return Keys(keys=left)

    _change(path, without)


def _change(path: Path, change: Callable[[Keys], Keys]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        keys = change(read_keys(path) if path.exists() else Keys())
        try:
            with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                file.write(keys.model_dump_json(indent=2, exclude_none=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                _keep_access(path, Path(file.name))
            Path(file.name).replace(path)
        except OSError as error:
            Path(file.name).unlink(missing_ok=True)
            raise FewstepError(f"{path}: {error.strerror}") from error


def _keep_access(old: Path, new: Path) -> None:
    """Whoever may read the file, such as an API of another user, still may."""
    of = old.stat()
    new.chmod(of.st_mode & 0o777)
    if (of.st_uid, of.st_gid) != (os.getuid(), os.getgid()):
        os.chown(new, of.st_uid, of.st_gid)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other changes the file: the lock is on a file beside it, since the file itself is replaced."""
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
