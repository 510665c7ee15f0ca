"""Where bulk requests wait within a worker, so that they never take a thread from an interactive one."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Condition, Thread

from core.log import get_logger

log = get_logger(__name__)


class BulkQueue:
    """Works on ids, oldest first, in threads of its own; a context manager.

    It keeps nothing safe: what it has not begun when the worker ends still stands in Redis as queued.
    """

    def __init__(self, work: Callable[[str], None], *, threads: int) -> None:
        self._work = work
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._changed = Condition()
        self._closing = False
        self._threads = [Thread(target=self._take, name=f"bulk-{number}", daemon=True) for number in range(threads)]

    def __enter__(self) -> "BulkQueue":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, record_id: str) -> None:
        """Let it wait; nothing new for one that waits already."""
        with self._changed:
            self._waiting.setdefault(record_id)
            self._changed.notify()

    def waiting(self) -> set[str]:
        """Ids that wait here."""
        with self._changed:
            return set(self._waiting)

    def _take(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                record_id, _ = self._waiting.popitem(last=False)
            try:
                self._work(record_id)
            except Exception:
                # Without Redis, say; the record still says that it is queued or ours, and is swept up.
                log.exception("bulk request left", id=record_id)
