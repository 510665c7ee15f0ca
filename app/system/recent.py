"""How many images this process answered with lately, and how long requests for them took."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

WINDOW_S = 300
SLOT_S = 5
GROWTH = 1.1
"""From one bin of durations to the next: quantiles are exact to a tenth."""


@dataclass
class _Slot:
    began: float
    images: int = 0
    bins: Counter[int] = field(default_factory=Counter)


class Recent:
    """The last five minutes in slots of five seconds, whose memory does not grow with requests. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: deque[_Slot] = deque()
        self._lock = Lock()

    def note(self, *, images: int, seconds: float | None) -> None:
        """Images were sent; ``seconds`` from the request to the end of its answer, None if nobody waited so long."""
        with self._lock:
            slot = self._slot()
            slot.images += images
            if seconds is not None:
                slot.bins[math.ceil(math.log(max(seconds, 1e-4), GROWTH))] += 1

    def images_per_second(self, over_s: float = 60) -> float:
        """Over the last minute."""
        with self._lock:
            since = self._clock() - over_s
            return sum(slot.images for slot in self._slots if slot.began > since) / over_s

    def requests(self) -> int:
        """In the window."""
        return self._bins().total()

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of the requests in the window was answered; None where there was none."""
        bins = self._bins()
        left = share * bins.total()
        for number in sorted(bins):
            left -= bins[number]
            if left <= 0:
                return float(GROWTH**number)
        return None

    def _bins(self) -> Counter[int]:
        with self._lock:
            self._slot()
            total: Counter[int] = Counter()
            for slot in self._slots:
                total.update(slot.bins)
            return total

    def _slot(self) -> _Slot:
        """The one of now; those that are too old are gone."""
        now = self._clock()
        while self._slots and self._slots[0].began < now - WINDOW_S:
            self._slots.popleft()
        if not self._slots or now - self._slots[-1].began >= SLOT_S:
            self._slots.append(_Slot(now))
        return self._slots[-1]


recent = Recent()
"""Of this process; ``app.observe`` tells it of every answer."""
