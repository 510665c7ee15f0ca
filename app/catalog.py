"""The model families on disk, as the API sees them."""

import time
from pathlib import Path
from threading import Lock

from core.card import CheckpointError, Family, no_family
from core.log import get_logger

MAX_AGE_S = 1.0
"""A new checkpoint shows after this at the latest; until then requests do not touch the disk."""

log = get_logger(__name__)


class Catalog:
    """Families by name, read again when they are older than a second. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._read_at = float("-inf")
        self._families: dict[str, Family] = {}
        self._damaged: dict[str, CheckpointError] = {}

    def families(self) -> dict[str, Family]:
        """Every family that can be read; a damaged one is left out and logged."""
        with self._lock:
            if time.monotonic() - self._read_at > MAX_AGE_S:
                self._read()
                self._read_at = time.monotonic()
            return self._families

    def find(self, name: str) -> Family:
        """The family ``name``.

        Raises:
            NotFound: There is none; the error lists those there are.
            CheckpointError: It has a card that cannot be read.
        """
        families = self.families()
        if name in families:
            return families[name]
        if name in self._damaged:
            raise CheckpointError(str(self._damaged[name]), field="model")
        raise no_family(name, list(families))

    def _read(self) -> None:
        families: dict[str, Family] = {}
        damaged: dict[str, CheckpointError] = {}
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            try:
                family = Family.read(path)
            except CheckpointError as error:
                damaged[path.name] = error
                if str(error) != str(self._damaged.get(path.name, "")):
                    log.error("damaged checkpoint", detail=str(error))
            else:
                if family.cards:
                    families[family.name] = family
        self._families, self._damaged = families, damaged
