"""Messages to other services, from the moment that they are due until they are delivered or given up.

An event is put here by the script that makes it happen (``scripts/shared.lua``), so that no process can die between the
two. ``fewstep:webhooks:message:{id}`` is a hash: ``url``, ``kind``, ``id`` and ``state`` of what it tells of, ``path``,
``created``, ``attempts``, ``log`` (a JSON list of attempts), ``ended``. The sorted set ``fewstep:webhooks:due`` says
when each is to be looked at next, the list ``fewstep:webhooks:of:{id}`` has those about one generation or job. A worker
that has a message in hand moves its time on; if it dies, the message is due again then: it comes twice rather than
never.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis

from core.connections import text
from core.scripts import Script

DUE = "fewstep:webhooks:due"
BELL = "fewstep:webhooks:bell"

_CLAIM = Script("webhooks/claim")
_BEGIN = Script("webhooks/begin")
_END = Script("webhooks/end")


@dataclass(frozen=True)
class Message:
    """What is to be told.

    Attributes:
        id: The same however often it is sent, as ``webhook-id`` of Standard Webhooks.
        attempt: Which this is, from 1.
    """

    id: str
    url: str
    kind: str
    about: str
    state: str
    path: str
    created: float
    attempt: int


def claim(redis: Redis, *, count: int, lease_s: float) -> list[str]:
    """Ids of messages that are due, which are not again for a while: whoever claims them hands them out."""
    return [text(found) for found in _CLAIM.run(redis, count, lease_s)]


def begin(redis: Redis, message_id: str, *, lease_s: float) -> Message | None:
    """Take a message in hand. None: it was delivered, given up or forgotten, or another has it in hand."""
    found = _BEGIN.run(redis, message_id, lease_s)
    if not found:
        return None
    fields = _fields(found)
    return Message(
        id=message_id,
        url=fields["url"],
        kind=fields["kind"],
        about=fields["id"],
        state=fields["state"],
        path=fields["path"],
        created=float(fields["created"]),
        attempt=int(fields["attempts"]),
    )


def end(
    redis: Redis,
    message: Message,
    outcome: Literal["delivered", "failed", "given_up"],
    facts: Mapping[str, Any],
    *,
    again_s: float = 0,
) -> None:
    """Note how an attempt ended; one that failed is due again after ``again_s``."""
    _END.run(redis, message.id, outcome, json.dumps(dict(facts)), again_s)


def deliveries(redis: Redis, about: str) -> list[dict[str, Any]]:
    """Messages about a generation or job, oldest first, each with its attempts."""
    ids = [text(found) for found in redis.lrange(f"fewstep:webhooks:of:{about}", 0, -1)]
    with redis.pipeline(transaction=False) as pipe:
        for message_id in ids:
            pipe.hgetall(f"fewstep:webhooks:message:{message_id}")
            pipe.zscore(DUE, message_id)
        found = pipe.execute()
    return [
        _delivery(message_id, {text(name): text(value) for name, value in fields.items()}, due)
        for message_id, fields, due in zip(ids, found[::2], found[1::2], strict=True)
        if fields
    ]


def _delivery(message_id: str, fields: Mapping[str, str], due: float | None) -> dict[str, Any]:
    ended = fields.get("ended")
    return {
        "id": message_id,
        "type": f"{fields['kind']}.{fields['state']}",
        "url": fields["url"],
        "created": float(fields["created"]),
        "state": ended or "waiting",
        "next_attempt": None if ended else due,
        "attempts": json.loads(fields.get("log", "[]")),
    }


def _fields(pairs: list[bytes]) -> dict[str, str]:
    return {text(name): text(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
