"""The keys as a process knows them: read anew when their file changes."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from core.access.keys import Key, read_keys
from core.errors import FewstepError
from core.log import get_logger

LOOK_EVERY_S = 1.0
"""A change of the file shows after so long; until then a request costs no look at it."""

log = get_logger(__name__)


class KeyRing:
    """Keys by digest. For one event loop; a look at the file is one call of the system, reading it takes a millisecond.

    A file that cannot be read any more, or says nothing sensible, changes nothing: what was known last holds, and the
    log says so.
    """

    def __init__(self, path: Path) -> None:
        """Read them.

        Raises:
            FewstepError: They cannot be read.
        """
        self._path = path
        self._signature = _signature(path)
        self._keys = read_keys(path).by_digest()
        self._looked = time.monotonic()

    def keys(self) -> Mapping[str, Key]:
        """As they are now, or were a second ago."""
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._look()
        return self._keys

    def _look(self) -> None:
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            keys = read_keys(self._path)
        except FewstepError as error:
            log.error("keys as last known", detail=error.detail)
            return
        self._keys = keys.by_digest()
        log.info("keys read", names=sorted(key.name for key in keys.keys))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 (a third of the time of Path's)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
