"""A message of ours as it lies in the broker: what `core.broker` makes Celery send, as far as it is relied on."""

import base64
import json
from typing import Literal

from pydantic import BaseModel, Field

from core.queues import Task

Arguments = list[str | int]


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
    """Attributes as Celery names them."""

    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: _Headers
    properties: _Properties


def read_message(content: object) -> tuple[Task, Arguments]:
    """The task that a message is for, and what it is called with: ids and numbers.

    Args:
        content: The message as parsed JSON, whoever sent it.

    Raises:
        ValueError: It is no message of ours.
    """
    message = Message.model_validate(content)
    body = json.loads(base64.b64decode(message.body, validate=True))
    if not isinstance(body, list) or len(body) != 3:
        raise ValueError("the body has other parts")
    arguments, names, _ = body
    if not isinstance(arguments, list) or not arguments or names:
        raise ValueError("no arguments, or such by name")
    if not all(type(argument) in (str, int) for argument in arguments):
        raise ValueError("arguments that are neither ids nor numbers")
    return message.headers.task, arguments
