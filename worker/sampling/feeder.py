"""Fetches from Redis what the device is to do next, when it is about to have nothing to do."""

import time
from collections.abc import Callable
from threading import Event, Thread

from redis import Redis
from redis.exceptions import RedisError

from core.connections import ending
from core.generation import work
from core.generation.request import Generation
from core.generation.work import Room
from core.log import get_logger
from worker.sampling.crew import Crew
from worker.sampling.dispatcher import Dispatcher

AWAKE_S = 30.0
"""A worker that had nothing to do for so long sleeps."""
BELL_S = 1.0
"""How long it waits for the bell before it looks by itself, since a lost connection can take a ring with it."""
FULL_S = 0.002
"""Between two looks whether something has ended, when there is no room for more."""
GATHER_SHARE = 0.2
"""Of the time that a batch takes: how long an idle device may wait for more, where more is to be expected."""
GATHER_EVERY_S = 0.001

log = get_logger(__name__)


class Feeder:
    """One thread that takes generations and has them begun; a context manager.

    A device that has nothing to do begins at once with what there is. Only where the batch before had images of several
    requests, whose answers have just gone out, as many are about to come back: then it waits a moment for them.
    """

    def __init__(self, dispatcher: Dispatcher, crew: Crew, redis: Redis, *, send_message: Callable[[], None]) -> None:
        """Nothing is taken yet.

        Args:
            dispatcher: What takes, and has the device.
            crew: What begins.
            redis: A connection for this alone, since it waits on it.
            send_message: Wakes another worker.
        """
        self._dispatcher = dispatcher
        self._device = dispatcher.device
        self._crew = crew
        self._redis = redis
        self._send_message = send_message
        self._rung = Event()
        self._closing = False
        self._thread = Thread(target=self._work, name="feeder", daemon=True)

    def __enter__(self) -> "Feeder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def ring(self) -> None:
        """Look for work, if asleep."""
        self._rung.set()

    def stop(self) -> None:
        """Take nothing more; safe to call in a signal handler."""
        self._closing = True
        self._rung.set()

    def finish(self) -> None:
        """Take nothing more, and return when nothing is in hand any more; others are told of what still waits."""
        self.stop()
        self._thread.join()
        try:
            if work.leave(self._redis, self._dispatcher.worker):
                self._send_message()
        except (RedisError, OSError) as error:  # others look at each heartbeat
            log.warning("could not tell others what waits", error=str(error))
        while self._dispatcher.in_hand:
            time.sleep(FULL_S)

    def _work(self) -> None:
        while not self._closing:
            try:
                self._feed()
            except RedisError as error:  # only where this process is to end (`core.connections`)
                log.warning("nothing more is taken, since Redis is away", error=str(error))
                ending.wait(BELL_S)
            except Exception:
                log.exception("taking failed")
                ending.wait(BELL_S)

    def _feed(self) -> None:
        latest, worked_at = -1, time.monotonic()
        while not self._closing:
            latest = self._device.wait_until_wanting(latest)
            if len(self._dispatcher.in_hand) >= self._dispatcher.most_in_hand:
                time.sleep(FULL_S)
                continue
            is_idle = self._device.is_idle or self._device.lets_pass
            self._rung.clear()
            if taken := self._take(self._room(), waits=is_idle):
                self._crew.begin(self._gather(taken))
                worked_at = time.monotonic()
            elif is_idle and self._falls_asleep(time.monotonic() - worked_at):
                self._rung.wait()
                worked_at = time.monotonic()
            elif is_idle:
                work.wait_for_bell(self._redis, BELL_S)

    def _falls_asleep(self, idle_s: float) -> bool:
        return idle_s > AWAKE_S and work.fall_asleep(self._redis, self._dispatcher.worker)

    def _take(self, room: Room, *, waits: bool = False) -> list[Generation]:
        return self._dispatcher.take(self._redis, room, waits=waits, more=self._send_message)

    def _room(self) -> Room:
        most = self._dispatcher.most_images
        if self._device.lets_pass:
            return Room(most)
        waiting = sum(self._device.images_not_begun(bulk=bulk) for bulk in (False, True))
        return Room(most, bulk_images=max(most - waiting, 0), places=self._crew.free_places)

    def _gather(self, taken: list[Generation]) -> list[Generation]:
        """What was taken, with what comes in the next moment if more is to be expected."""
        last, first = self._device.last, taken[0]
        if last is None or last.requests < 2 or last.group.key != first.group:
            return taken
        wanted = last.images - sum(one.n for one in taken)
        if wanted > 0:
            self._device.wait_until_idle()
        until = last.until + GATHER_SHARE * self._dispatcher.estimate(last.group, last.images)
        while wanted > 0 and time.monotonic() < until and not self._closing:
            time.sleep(GATHER_EVERY_S)
            more = self._take(Room(wanted, group=first.group))
            taken += more
            wanted -= sum(one.n for one in more)
        return taken
