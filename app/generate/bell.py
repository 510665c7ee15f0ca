"""Wakes a worker by a Celery message, where all sleep."""

import asyncio

from celery import Celery

from core.log import get_logger
from core.queues import Task

log = get_logger(__name__)


class Bell:
    """For use in one event loop. Nobody waits for a message to be sent: it publishes in a thread.

    One that cannot be sent does no harm: workers look at each heartbeat what waits.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._sending: set[asyncio.Task[None]] = set()

    def ring(self, record_id: str) -> None:
        """Send a message; it names what waits, for whoever reads it."""
        sending = asyncio.create_task(self._send(record_id))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send(self, record_id: str) -> None:
        try:
            await asyncio.to_thread(self._celery.send_task, Task.GENERATE, args=[record_id])
        except Exception as error:  # as kombu says it, whatever lies below
            log.warning("no message sent", error=str(error), id=record_id)
