"""What became of messages, over HTTP."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field
from redis import Redis

from core.machine.clock import utc
from core.webhooks.outbox import deliveries


class DeliveryState(StrEnum):
    """Where a message stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class Attempt(BaseModel):
    """One try at delivering a message."""

    at: Annotated[datetime, Field(description="When it ended")]
    seconds: Annotated[float, Field(description="How long it took")]
    status: Annotated[int | None, Field(description="Of the answer; null: there was none")] = None
    error: Annotated[str | None, Field(description="Why it was no delivery")] = None


class Delivery(BaseModel):
    """A message."""

    id: Annotated[str, Field(description="As `webhook-id`, the same at each attempt")]
    type: Annotated[str, Field(description="As in the message", examples=["job.succeeded"])]
    url: str
    state: DeliveryState
    created: Annotated[datetime, Field(description="When what it tells of happened")]
    next_attempt: Annotated[datetime | None, Field(description="About when; null: none follows")]
    attempts: list[Attempt]


class DeliveriesResponse(BaseModel):
    """All messages about a job or generation, oldest first."""

    deliveries: list[Delivery]


def deliveries_of(redis: Redis, about: str) -> DeliveriesResponse:
    """The messages about a job or generation, as Redis has them."""
    return DeliveriesResponse(deliveries=[_delivery(one) for one in deliveries(redis, about)])


def _delivery(found: dict[str, Any]) -> Delivery:
    attempts = [one | {"at": utc(one["at"])} for one in found["attempts"]]
    times = {name: utc(found[name]) for name in ("created", "next_attempt")}
    return Delivery.model_validate(found | times | {"attempts": attempts})
