"""What a worker takes from the broker's lists: our messages; anything else is logged, counted and dropped.

Redis is often shared, and a list takes what anyone pushes. Celery would end with what it cannot read.
"""

from collections import deque
from typing import Any

from celery import Celery

from core.connections import ending
from core.log import get_logger
from core.messages import Arguments, read_message
from core.queues import Task
from core.transport import Channel, Transport
from worker.metrics import MESSAGES_DROPPED

LOST: deque[tuple[Task, Arguments]] = deque()
"""Messages that were taken from a list just as Redis went away, so that it knows nothing of them any more."""
PAUSE_S = 1.0
"""Before the broker is asked again after such a loss: else a Redis that refuses would give up message after message."""
SHOWN = 80
"""Characters of garbage that a log line shows."""

log = get_logger(__name__)


def send_lost_again(celery: Celery) -> None:
    """Put messages back that got lost on their way here; those that cannot be put back now stay for the next call."""
    while LOST:
        task, arguments = LOST[0]
        celery.send_task(task, args=arguments)
        LOST.popleft()
        log.warning("message lost, sent again", task=str(task))


class IntakeChannel(Channel):
    """Takes what cannot even be parsed for taken."""

    def _brpop_read(self, **options: Any) -> bool:  # noqa: ANN401
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # kombu's stubs lack it
        except ValueError as error:  # of JSON or UTF-8: what is delivered raises none (below)
            _drop(", ".join(self.active_queues), "", error)
            return True


class IntakeTransport(Transport):
    """Delivers only what is a message of ours."""

    Channel = IntakeChannel

    def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401
        try:
            known = read_message(message)
        except ValueError as error:
            _drop(queue or "", message, error)
            return
        try:
            super()._deliver(message, queue)
        except self.connection_errors:
            LOST.append(known)
            ending.wait(PAUSE_S)
            raise


def _drop(queue: str, content: object, error: Exception) -> None:
    MESSAGES_DROPPED.labels(queue).inc()
    log.warning("not a message of ours, dropped", queue=queue, begins=repr(content)[:SHOWN], error=type(error).__name__)
