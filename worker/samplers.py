"""The checkpoints that this process has loaded."""

from concurrent.futures import Future
from pathlib import Path
from threading import Lock

from core.card import CARD_NAME, CheckpointError
from models.engine import Sampler

Version = tuple[int, int, int]


class Samplers:
    """Loaded checkpoints by folder; each is loaded once, and again when its card on disk is another. Thread-safe.

    Loading one does not hold up those who want another.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = Lock()
        self._loaded: dict[Path, tuple[Version, Future[Sampler]]] = {}

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
        assert sampler is not None
        if mine:
            self._load(checkpoint, sampler)
        return sampler.result()

    def _load(self, checkpoint: Path, sampler: Future[Sampler]) -> None:
        try:
            sampler.set_result(Sampler(checkpoint, device=self._device))
        except BaseException as error:
            with self._lock:
                if self._loaded[checkpoint][1] is sampler:
                    del self._loaded[checkpoint]
            sampler.set_exception(error)


def _version(checkpoint: Path) -> Version:
    """What changes when a checkpoint is replaced."""
    try:
        stat = (checkpoint / CARD_NAME).stat()
    except OSError as error:
        raise CheckpointError(f"{checkpoint}: there is no such checkpoint on this worker ({error.strerror})") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
