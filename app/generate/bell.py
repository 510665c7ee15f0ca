"""Wakes a worker by a Celery message, where all sleep."""

import asyncio

from celery import Celery

from core.broker import wake


class Bell:
    """For use in one event loop. Nobody waits for a message to be sent: it is published in a thread."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._sending: set[asyncio.Task[None]] = set()

    def ring(self, record_id: str) -> None:
        """Send a message; it names what waits, for whoever reads it."""
        sending = asyncio.create_task(asyncio.to_thread(wake, self._celery, record_id))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
