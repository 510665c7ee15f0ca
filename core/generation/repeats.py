"""Requests that are sent again under the name that their client gave them."""

from dataclasses import dataclass

from redis.asyncio import Redis as AsyncRedis

from core.connections import text


class KeyUsed(Exception):  # noqa: N818
    """The idempotency key stands for a generation already.

    Attributes:
        record_id: For this one.
        is_same: Whether it was the same request.
    """

    def __init__(self, record_id: str, *, is_same: bool) -> None:
        super().__init__(record_id)
        self.record_id, self.is_same = record_id, is_same


@dataclass(frozen=True)
class Repeatable:
    """What a client calls a request, to send it again without harm.

    Attributes:
        key: Of Redis, as of ``core.access.repeats``.
        fingerprint: Of the request.
        ttl_s: How long the key is remembered.
    """

    key: str
    fingerprint: str
    ttl_s: float

    @property
    def arguments(self) -> tuple[str, str, int]:
        """Of the script that records it."""
        return self.key, self.fingerprint, int(1000 * self.ttl_s)


NOT_REPEATABLE = Repeatable("", "", 0)


async def used(redis: AsyncRedis, repeatable: Repeatable) -> KeyUsed | None:
    """What the key of a request stands for already."""
    fingerprint, record_id = await redis.hmget(repeatable.key, ["fingerprint", "id"])
    if fingerprint is None or record_id is None:
        return None
    return KeyUsed(text(record_id), is_same=text(fingerprint) == repeatable.fingerprint)
