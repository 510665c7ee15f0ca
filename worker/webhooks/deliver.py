"""One attempt to deliver a message, signed as of Standard Webhooks."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

import httpcore
from standardwebhooks import Webhook

from core.machine.clock import rfc_3339
from core.settings import Settings
from core.webhooks.addresses import Refused
from core.webhooks.outbox import Message
from worker.webhooks.connection import CheckedBackend

GONE = 410
"""Who answers so wants to hear no more."""
MOST_WORDS = 200
"""Of what went wrong, in the log of a message."""


@dataclass(frozen=True)
class Attempt:
    """How an attempt ended.

    Attributes:
        outcome: ``given_up`` where trying again is of no use.
        seconds: How long it took.
        status: Of the answer, if there was one.
        error: Why it was no delivery.
    """

    outcome: Literal["delivered", "failed", "given_up"]
    seconds: float
    status: int | None = None
    error: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """For the log of deliveries."""
        facts = {"seconds": round(self.seconds, 3), "status": self.status, "error": self.error}
        return {name: value for name, value in facts.items() if value is not None}


def body_of(message: Message) -> str:
    """What is told, the same letter by letter at each attempt: little, so that nothing is anyone's but its owner's."""
    told = {"id": message.about, "state": message.state, "path": message.path}
    return json.dumps(
        {"type": f"{message.kind}.{message.state}", "timestamp": rfc_3339(message.created), "data": told},
        separators=(",", ":"),
    )


def deliver(message: Message, settings: Settings) -> Attempt:
    """Post a message once. Redirects are not followed, proxies of the environment not used, answers not read."""
    started = time.monotonic()
    try:
        status = _post(message, settings, until=started + settings.webhook_timeout_s)
    except Refused as refused:
        return Attempt("given_up", time.monotonic() - started, error=str(refused))
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        words = str(error) or type(error).__name__
        return Attempt("failed", time.monotonic() - started, error=words[:MOST_WORDS])
    seconds = time.monotonic() - started
    if 200 <= status < 300:
        return Attempt("delivered", seconds, status)
    if status == GONE:
        return Attempt("given_up", seconds, status, "whoever is there wants to hear no more")
    return Attempt("failed", seconds, status, "redirects are not followed" if 300 <= status < 400 else None)


def _post(message: Message, settings: Settings, *, until: float) -> int:
    """The status of the answer."""
    body, now = body_of(message), datetime.now(UTC)
    signature = Webhook(settings.webhook_secret.get_secret_value()).sign(message.id, now, body)
    headers: dict[str | bytes, str | bytes] = {
        "Content-Type": "application/json",
        "User-Agent": _agent(),
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    backend = CheckedBackend(settings.webhook_networks, until=until)
    each = dict.fromkeys(("connect", "read", "write", "pool"), settings.webhook_timeout_s)
    with (
        httpcore.ConnectionPool(network_backend=backend) as pool,
        pool.stream(
            "POST", message.url, headers=headers, content=body.encode(), extensions={"timeout": each}
        ) as response,
    ):
        return response.status


@cache
def _agent() -> str:
    return f"Fewstep/{version('fewstep')}"
