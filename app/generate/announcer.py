"""Tells the workers what waits for them, as few messages as that takes."""

import asyncio
from dataclasses import dataclass

from celery import Celery

from core.queues import Task

MOST_IN_A_MESSAGE = 16
"""One worker gets a message, and there may be others with nothing to do."""


@dataclass(frozen=True)
class _Waiting:
    task: Task
    record_id: str
    sent: asyncio.Future[None]


class Announcer:
    """Sends at once while no message is under way; what comes meanwhile goes together in the next.

    A message costs as much as sampling a small image, on both ends. For use in one event loop.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None

    async def announce(self, task: Task, record_id: str) -> None:
        """Return once the broker has the message.

        Raises:
            kombu.exceptions.OperationalError: There is no broker, for those that waited meanwhile as well.
        """
        sent = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(task, record_id, sent))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        await sent

    async def _send(self) -> None:
        while self._waiting:
            task = self._waiting[0].task
            batch = [waiting for waiting in self._waiting if waiting.task is task][:MOST_IN_A_MESSAGE]
            self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
            try:
                # Publishing blocks, so it has a thread for this moment.
                await asyncio.to_thread(self._celery.send_task, task, args=[one.record_id for one in batch])
            except Exception as error:
                failed, self._waiting = [*batch, *self._waiting], []
                for one in failed:
                    if not one.sent.done():
                        one.sent.set_exception(error)
            else:
                for one in batch:
                    if not one.sent.done():  # its client may have left
                        one.sent.set_result(None)
