"""What an image of each checkpoint costs here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

NEWEST_SHARE = 0.1


class Costs:
    """What an image took, by checkpoint.

    Attributes:
        seconds: As the latest batches that were at least half full took them.
        latest: As the very latest batch took them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.latest: dict[str, float] = {}

    def forget(self, name: str) -> None:
        """It is not there any more."""
        self.seconds.pop(name, None)
        self.latest.pop(name, None)

    @contextmanager
    def measure(self, name: str, images: int, max_batch: int) -> Iterator[None]:
        """Take the time of a batch, unless it fails."""
        started = time.perf_counter()
        yield
        each = (time.perf_counter() - started) / images
        self.latest[name] = each
        before = self.seconds.get(name)
        if before is None or each < before:
            self.seconds[name] = each
        elif images >= max_batch / 2:
            self.seconds[name] += NEWEST_SHARE * (each - before)
