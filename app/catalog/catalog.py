"""The model families on disk together with what jobs have made, as the API sees them."""

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from redis import Redis
from redis.exceptions import RedisError

from core.catalog import serving
from core.catalog.card import CheckpointError, Family, no_family
from core.catalog.serving import Serving
from core.log import get_logger

MAX_AGE_S = 1.0
"""A new checkpoint on disk shows after this at the latest; until then requests do not touch the disk."""

log = get_logger(__name__)


class Catalog:
    """Families by name. Thread-safe.

    Folders are read again when that is longer ago than a second. What jobs have made and promoted is asked for at every
    use, one small command unless it has changed, so that a job which is told to have succeeded can be sampled at once.
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

    def find(self, name: str, *, field: str = "model") -> Family:
        """The family ``name``.

        Raises:
            NotFound: There is none; the error names ``field`` and lists those there are.
            CheckpointError: It has a card that cannot be read.
        """
        families = self.families()
        if name in families:
            return families[name]
        if name in self._damaged:
            raise CheckpointError(str(self._damaged[name]), field=field)
        raise no_family(name, list(families), field=field)

    def _refresh(self) -> None:
        changed = self._refresh_serving()
        if time.monotonic() - self._read_at > MAX_AGE_S:
            self._read()
            self._read_at = time.monotonic()
            changed = True
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

    def _read(self) -> None:
        families: dict[str, Family] = {}
        damaged: dict[str, CheckpointError] = {}
        for path in [path for folder in self._folders if folder.is_dir() for path in sorted(folder.iterdir())]:
            if path.name in families or path.name in damaged:
                continue
            try:
                family = Family.read(path)
            except CheckpointError as error:
                damaged[path.name] = error
                if str(error) != str(self._damaged.get(path.name, "")):
                    log.error("damaged checkpoint", detail=str(error))
            else:
                if family.cards:
                    families[family.name] = family
        self._on_disk, self._damaged = dict(sorted(families.items())), damaged
