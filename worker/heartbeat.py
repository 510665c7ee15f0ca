"""A worker's sign of life, and what it does on the side at each beat."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from core import presence
from core.log import get_logger
from core.machine.clock import rfc_3339
from core.queues import Queue

log = get_logger(__name__)


class Pulse:
    """When the last beat of a worker succeeded, for whoever asks how it is."""

    def __init__(self, interval_s: float) -> None:
        self._last = float("-inf")
        self._interval_s = interval_s

    def note(self) -> None:
        """One has."""
        self._last = time.monotonic()

    def is_regular(self) -> bool:
        """Whether no more were missed than a living worker may miss."""
        return time.monotonic() - self._last < presence.MISSED_HEARTBEATS * self._interval_s


class Heartbeat:
    """Announces a worker every few seconds from a thread of its own, until it drains and leaves."""

    def __init__(
        self,
        redis: Redis,
        queue: Queue,
        name: str,
        facts: dict[str, Any],
        *,
        interval_s: float,
        pulse: Pulse,
        chore: Callable[[bool], None],
        more: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Beat for a worker with these facts, and with those of ``more`` as they are at each beat.

        ``chore`` is told whether the beat before it failed.
        """
        self._redis, self._queue, self._name = redis, queue, name
        self._facts = facts | {"started": rfc_3339(time.time())}
        self._interval_s = interval_s
        self._pulse = pulse
        self._chore = chore
        self._more = more
        self._draining = Event()
        self._left = Event()
        self._in_trouble = False
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """From now on the worker takes work."""
        self._thread.start()

    def drain(self) -> None:
        """From now on it only finishes what it has; safe to call in a signal handler."""
        self._draining.set()

    def leave(self) -> None:
        """It has finished; says so and stops."""
        self._draining.set()
        self._left.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._interval_s)

    def _run(self) -> None:
        while not self._left.is_set():
            try:
                self._beat()
                self._in_trouble = False
            except (RedisError, OperationalError, OSError) as error:
                self._in_trouble = True
                log.warning("heartbeat failed", error=str(error))
            except Exception:
                self._in_trouble = True
                log.exception("heartbeat failed")
            # After trouble it is known sooner that the worker is there again.
            pause_s = self._interval_s / (4 if self._in_trouble else 1)
            (self._left if self._draining.is_set() else self._draining).wait(pause_s)
        try:
            presence.leave(self._redis, self._queue, self._name)
        except (RedisError, OSError) as error:
            log.warning("could not say that this worker left", error=str(error))

    def _beat(self) -> None:
        if self._draining.is_set():
            presence.drain(self._redis, self._queue, self._name, heartbeat_s=self._interval_s)
            self._pulse.note()
        else:
            facts = self._facts | self._more()
            presence.announce(self._redis, self._queue, self._name, facts, heartbeat_s=self._interval_s)
            self._pulse.note()
            self._chore(self._in_trouble)
