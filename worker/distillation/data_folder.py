"""The data sets in this worker's folder, described for the API."""

from pathlib import Path
from threading import Thread

from redis import Redis
from redis.exceptions import RedisError

from core.catalog import datasets
from core.catalog.datasets import DatasetFacts
from core.errors import FewstepError
from core.log import get_logger

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


def describe(path: Path) -> DatasetFacts:
    """What is known of a data set; decodes it if that was not done before."""
    from models.data.dataset import load_data  # costs a moment, which a worker without data sets need not spend

    try:
        data = load_data(str(path))
    except FewstepError as error:
        return DatasetFacts(name=path.name, error=error.detail)
    except OSError as error:  # of one of them, which must not hide the others
        return DatasetFacts(name=path.name, error=f"{path.name} cannot be read ({error.strerror or error})")
    classes = None if data.labels is None else len(data.class_names or ()) or int(data.labels.max()) + 1
    return DatasetFacts(
        name=path.name,
        image_shape=data.image_shape,
        images=len(data.images),
        num_classes=classes,
        class_names=data.class_names,
        fingerprint=data.fingerprint,
    )
