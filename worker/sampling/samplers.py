"""The checkpoints that this process has loaded."""

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock, Thread

from core.catalog.card import CARD_NAME, CheckpointError
from core.log import get_logger
from models.sampling.engine import Sampler
from models.training.execution import AskedPrecision
from worker.sampling import metrics

Version = tuple[int, int, int]

log = get_logger(__name__)


class Samplers:
    """Loaded checkpoints by folder; each is loaded once, and again when its card on disk is another. Thread-safe.

    Loading one does not hold up those who want another. When their weights take more than ``max_bytes``, those that
    were not asked for longest are forgotten; whoever still samples with one keeps it until then.
    """

    def __init__(
        self,
        device: str,
        *,
        max_bytes: int,
        precision: AskedPrecision = "auto",
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is loaded yet; ``on_failure`` is called, in any thread, when one could not be."""
        self._device = device
        self._precision: AskedPrecision = precision
        self._on_failure = on_failure
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._loaded: OrderedDict[Path, tuple[Version, Future[Sampler]]] = OrderedDict()

    def get(self, checkpoint: Path) -> Sampler:
        """The sampler of a checkpoint folder.

        Raises:
            CheckpointError: It is missing or damaged. The next call tries again.
        """
        version = _version(checkpoint)
        with self._lock:
            known, sampler = self._loaded.get(checkpoint, (None, None))
            mine = sampler is None or known != version
            if mine:
                sampler = Future()
                self._loaded[checkpoint] = (version, sampler)
            self._loaded.move_to_end(checkpoint)
        assert sampler is not None
        if mine:
            # In a thread that ends: the threads that torch starts for it end too. While they lived there would be more
            # than cores, and then OpenMP lets none of them wait awake, which costs a tenth to a half of the speed.
            Thread(target=self._load, args=(checkpoint, sampler), name="load", daemon=True).start()
        return sampler.result()

    def get_at_once(self, checkpoint: Path) -> Sampler | None:
        """The sampler of a checkpoint folder if it is loaded, and no other is on disk by now."""
        with self._lock:
            known, sampler = self._loaded.get(checkpoint, (None, None))
            if sampler is None or not _is_there(sampler):
                return None
            self._loaded.move_to_end(checkpoint)
        try:
            return sampler.result() if _version(checkpoint) == known else None
        except CheckpointError:
            return None

    def loaded(self) -> dict[Path, Sampler]:
        """Those that are, the longest unused first."""
        with self._lock:
            return self._loaded_now()

    def forget_gone(self) -> None:
        """Forget those whose folders are gone."""
        with self._lock:
            there = self._loaded_now()
            for folder in [folder for folder in there if not folder.exists()]:
                del self._loaded[folder], there[folder]
                log.info("gone", checkpoint=str(folder))
            metrics.CACHE_BYTES.set(sum(sampler.num_bytes for sampler in there.values()))

    def _load(self, checkpoint: Path, sampler: Future[Sampler]) -> None:
        started = time.perf_counter()
        try:
            loaded = Sampler(checkpoint, device=self._device, precision=self._precision)
        except BaseException as error:
            metrics.LOADS.labels("failed").inc()
            self._on_failure()
            with self._lock:
                if self._loaded.get(checkpoint, (None, None))[1] is sampler:
                    del self._loaded[checkpoint]
            sampler.set_exception(error)
            return
        metrics.LOADS.labels("succeeded").inc()
        metrics.LOAD_SECONDS.observe(time.perf_counter() - started)
        log.info("loaded", checkpoint=str(checkpoint), bytes=loaded.num_bytes, **loaded.facts)
        sampler.set_result(loaded)
        self._evict(loaded)

    def _evict(self, newest: Sampler) -> None:
        """Forget what is too much, all but what was just loaded."""
        with self._lock:
            there = self._loaded_now()
            sizes = {folder: sampler.num_bytes for folder, sampler in there.items()}
            total = sum(sizes.values())
            for folder, size in sizes.items():
                if total > self._max_bytes and there[folder] is not newest:
                    del self._loaded[folder]
                    total -= size
                    metrics.EVICTIONS.inc()
                    log.info("forgotten", checkpoint=str(folder), bytes=size)
            metrics.CACHE_BYTES.set(total)

    def _loaded_now(self) -> dict[Path, Sampler]:
        return {folder: sampler.result() for folder, (_, sampler) in self._loaded.items() if _is_there(sampler)}


def _is_there(sampler: Future[Sampler]) -> bool:
    return sampler.done() and sampler.exception() is None


def _version(checkpoint: Path) -> Version:
    """What changes when a checkpoint is replaced."""
    try:
        stat = (checkpoint / CARD_NAME).stat()
    except OSError as error:
        raise CheckpointError(f"{checkpoint}: there is no such checkpoint on this worker ({error.strerror})") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
