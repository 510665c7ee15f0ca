"""The model families on disk together with what jobs have made, as the API sees them."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from redis import Redis
from redis.exceptions import RedisError

from app.access.caller import Caller
from core.catalog import serving
from core.catalog.card import CARD_NAME, CheckpointError, Family, no_family
from core.catalog.serving import Serving
from core.log import get_logger

MAX_AGE_S = 1.0
"""A new checkpoint on disk shows after this at the latest; until then requests do not touch the disk."""
READING_SHARE = 0.05
"""Of the time at most, for folders of very many families: then a new one shows later."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Of a family's folder: name, time of change, size and inode of each card."""

log = get_logger(__name__)


@dataclass(frozen=True)
class _Known:
    """A folder as it was read."""

    signature: Signature
    family: Family | None = None
    error: CheckpointError | None = None


class Catalog:
    """Families by name. Thread-safe.

    Folders are looked at again when that is longer ago than a second, and cards read that have changed. What jobs have
    made and promoted is asked for at every use, one small command unless it has changed, so that a job which is told to
    have succeeded can be sampled at once. ``find_known`` and ``version`` do neither, for who makes sure by himself.
    """

    def __init__(self, folders: Sequence[Path], redis: Redis) -> None:
        """Read nothing yet.

        Args:
            folders: Of families; of two with one name the first has it.
            redis: For threads. While it does not answer, what was known last is what there is.
        """
        self._folders = folders
        self._redis = redis
        self._lock = Lock()
        self._read_at = self._lost_at = float("-inf")
        self._reading_s = 0.0
        self._known: dict[Path, _Known] = {}
        self._on_disk: dict[str, Family] = {}
        self._damaged: dict[str, CheckpointError] = {}
        self._serving = Serving(version=-1)
        self._families: dict[str, Family] = {}

    def families(self) -> dict[str, Family]:
        """Every family that can be read; a damaged one is left out and logged."""
        with self._lock:
            self._refresh()
            return self._families

    def serving(self) -> Serving:
        """What jobs have made and promoted."""
        with self._lock:
            self._refresh()
            return self._serving

    def seen_by(self, caller: Caller) -> dict[str, Family]:
        """The families that a caller sees."""
        return _seen_by(caller, self.families())

    def find(self, name: str, caller: Caller, *, field: str = "model") -> Family:
        """The family ``name`` for a caller.

        Raises:
            NotFound: There is none, or it belongs to another; the error names ``field`` and lists those there are.
            CheckpointError: It has a card that cannot be read.
        """
        return self._find(self.families(), name, caller, field)

    def _find(self, families: Mapping[str, Family], name: str, caller: Caller, field: str) -> Family:
        if name in families and caller.sees_shared(families[name].owner):
            return families[name]
        if name in self._damaged:
            raise CheckpointError(str(self._damaged[name]), field=field)
        raise no_family(name, list(_seen_by(caller, families)), field=field)

    @property
    def age_s(self) -> float:
        """How long ago folders were looked at, beyond the time that this may be."""
        return time.monotonic() - self._read_at - max(MAX_AGE_S, self._reading_s / READING_SHARE)

    @property
    def version(self) -> int:
        """Of what jobs have made and promoted, as known here; it grows with every change."""
        return self._serving.version

    def find_known(self, name: str, caller: Caller) -> Family:
        """As ``find``, of what is known already."""
        return self._find(self._families, name, caller, "model")

    def _refresh(self) -> None:
        changed = self._refresh_serving()
        if self.age_s > 0:
            started = time.monotonic()
            changed = self._read() or changed
            self._read_at = time.monotonic()
            self._reading_s = self._read_at - started
        if changed:
            self._families = serving.overlay(self._on_disk, self._serving)

    def _refresh_serving(self) -> bool:
        """Whether it has changed."""
        if time.monotonic() - self._lost_at < MAX_AGE_S:
            return False  # not every request need wait for the same silence
        try:
            if int(self._redis.get(serving.VERSION) or 0) == self._serving.version:
                return False
            self._serving = serving.read(self._redis)
        except RedisError as error:
            log.warning("serving as last known", error=str(error), version=self._serving.version)
            self._lost_at = time.monotonic()
            return False
        return True

    def _read(self) -> bool:
        """Whether anything has changed."""
        before, self._known = self._known, {}
        names: set[str] = set()
        for path in [path for folder in self._folders if folder.is_dir() for path in sorted(folder.iterdir())]:
            if path.name not in names:
                names.add(path.name)
                self._known[path] = _look(path, before.get(path))
        if self._known == before:
            return False
        on_disk = [known.family for known in self._known.values() if known.family is not None]
        self._on_disk = {family.name: family for family in sorted(on_disk, key=lambda family: family.name)}
        self._damaged = {path.name: known.error for path, known in self._known.items() if known.error is not None}
        return True


def _seen_by(caller: Caller, families: Mapping[str, Family]) -> dict[str, Family]:
    return {name: family for name, family in families.items() if caller.sees_shared(family.owner)}


def _look(path: Path, before: _Known | None) -> _Known:
    """The family in a folder, read anew unless it is as it was."""
    signature = _signature(path)
    if before is not None and before.signature == signature:
        return before
    try:
        family = Family.read(path)
    except CheckpointError as error:
        log.error("damaged checkpoint", detail=str(error))
        return _Known(signature, error=error)
    return _Known(signature, family=family if family.cards else None)


def _signature(path: Path) -> Signature:
    found = []
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with suppress(OSError):
                stat = Path(entry.path, CARD_NAME).stat()
                found.append((entry.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(sorted(found))
