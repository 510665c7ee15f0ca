"""The data sets in this worker's folder, described for the API."""

from pathlib import Path
from threading import Thread

from redis import Redis
from redis.exceptions import RedisError

from core.catalog import datasets
from core.log import get_logger
from worker.facts import describe

log = get_logger(__name__)


class DataFolder:
    """Tells what is in a folder of data sets whenever that has changed, without holding up the caller."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self._redis, self._folder = redis, folder
        self._told: list[tuple[str, int]] | None = None
        self._thread: Thread | None = None

    def tell(self) -> None:
        """Describe the folder in a thread of its own if it is another than last time."""
        entries = self._entries()
        if entries == self._told or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = Thread(target=self._describe, args=[entries], name="data folder", daemon=True)
        self._thread.start()

    def _entries(self) -> list[tuple[str, int]]:
        if not self._folder.is_dir():
            return []
        paths = (path for path in self._folder.iterdir() if not path.name.startswith("."))
        # Of a link to nothing it is the link's own.
        return sorted((path.name, path.stat(follow_symlinks=path.exists()).st_mtime_ns) for path in paths)

    def _describe(self, entries: list[tuple[str, int]]) -> None:
        try:
            datasets.tell(self._redis, [describe(self._folder / name) for name, _ in entries])
        except RedisError as error:
            log.warning("data sets not described", error=str(error))
        except Exception:
            log.exception("data sets not described")
        else:
            self._told = entries
