"""``Idempotency-Key``: what a client calls a request, so that sending it again does no harm."""

import re
from typing import Annotated

from pydantic import WithJsonSchema

from core.errors import Conflict, InvalidRequest

KEY = "Idempotency-Key"
KEY_PATTERN = "^[!-~]{1,200}$"
IdempotencyKey = Annotated[str, WithJsonSchema({"type": "string", "pattern": KEY_PATTERN})]


def checked(key: str | None) -> str:
    """The idempotency key; empty for none.

    Raises:
        InvalidRequest: It is not as the schema says.
    """
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise InvalidRequest(f"{KEY} is 1 to 200 visible ASCII characters", field=KEY, allowed={"pattern": KEY_PATTERN})
    return key or ""


def used_for_another() -> InvalidRequest:
    """The error where a key stands for another request."""
    return InvalidRequest(f"this {KEY} came with another request before; use a new one", field=KEY)


def gone(what: str) -> Conflict:
    """The error where what a key stands for is no more."""
    return Conflict(f"the {what} of this {KEY} has been deleted; use a new one", field=KEY)
