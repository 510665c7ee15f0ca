"""What a worker takes from the broker's lists: our messages; anything else is logged, counted and dropped.

Redis is often shared, and a list takes what anyone pushes. Celery would end with what it cannot read, before it has
logged what it was.
"""

import base64
import json
from collections import deque
from typing import Any, Literal

from celery import Celery
from pydantic import BaseModel, Field

from core.connections import ending
from core.log import get_logger
from core.queues import Task
from core.transport import Channel, Transport
from worker.metrics import MESSAGES_DROPPED

SHOWN = 80
"""Characters of garbage that a log line shows."""

log = get_logger(__name__)


class _Headers(BaseModel):
    id: str
    task: Task
    eta: None = None
    expires: None = None


class _Delivery(BaseModel):
    exchange: str
    routing_key: str


class _Properties(BaseModel):
    delivery_tag: str
    delivery_info: _Delivery
    body_encoding: Literal["base64"]


class Message(BaseModel):
    """What ``core.broker`` makes Celery send, as far as it is relied on."""

    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: _Headers
    properties: _Properties

    def arguments(self) -> list[str | int]:
        """What the task is called with; raises ``ValueError`` where the body has none of a task of ours."""
        arguments, names, _ = json.loads(base64.b64decode(self.body, validate=True))
        if not isinstance(arguments, list) or not arguments or names:
            raise ValueError("no arguments, or such by name")
        if not all(type(argument) in (str, int) for argument in arguments):
            raise ValueError("arguments that are neither ids nor numbers")
        return arguments


LOST: deque[tuple[Task, list[str | int]]] = deque()
"""Messages that were taken from a list just as Redis went away, so that it knows nothing of them any more."""
PAUSE_S = 1.0
"""Before the broker is asked again after such a loss: else a Redis that refuses would give up message after message."""


def send_lost_again(celery: Celery) -> None:
    """Put messages back that got lost on their way here; those that cannot be put back now stay for the next call."""
    while LOST:
        task, arguments = LOST[0]
        celery.send_task(task, args=arguments)
        LOST.popleft()
        log.warning("message lost, sent again", task=str(task))


def drop(queue: str, content: object, error: Exception) -> None:
    """Note that something was taken from a queue and is not a message of ours."""
    MESSAGES_DROPPED.labels(queue).inc()
    shown = repr(content)[:SHOWN]
    log.warning("not a message of ours, dropped", queue=queue, begins=shown, error=type(error).__name__)


class IntakeChannel(Channel):
    """Takes what cannot even be parsed for taken."""

    def _brpop_read(self, **options: Any) -> bool:  # noqa: ANN401
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # kombu's stubs lack it
        except ValueError as error:  # of JSON or UTF-8: what is delivered raises none (below)
            drop(", ".join(self.active_queues), "", error)
            return True


class IntakeTransport(Transport):
    """Delivers only what is a message of ours."""

    Channel = IntakeChannel

    def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401
        try:
            known = Message.model_validate(message)
            arguments = known.arguments()
        except (ValueError, TypeError) as error:
            drop(queue or "", message, error)
            return
        try:
            super()._deliver(message, queue)
        except self.connection_errors:
            LOST.append((known.headers.task, arguments))
            ending.wait(PAUSE_S)
            raise
