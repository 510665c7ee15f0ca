"""Removes from the artifact store what was to go and could not, since the store was away or a process ended."""

from threading import Thread

from core.catalog.artifacts import ArtifactStore
from core.jobs.removal import remove_or_discard
from core.jobs.store import JobStore


class Leftovers:
    """Works in a thread of its own, since a store that hangs would hold up the heartbeat."""

    def __init__(self, store: JobStore, artifacts: ArtifactStore) -> None:
        self._store, self._artifacts = store, artifacts
        self._thread: Thread | None = None

    def remove(self) -> None:
        """Begin to, unless it is being done."""
        if self._thread is not None and self._thread.is_alive():
            return
        if keys := self._store.discarded():
            self._thread = Thread(target=self._remove, args=[keys], name="leftovers", daemon=True)
            self._thread.start()

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            if not remove_or_discard(self._store, self._artifacts, key):
                return
