"""What a client may ask to be told, and where."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

ADDRESS_WORDS = "an address that begins with https:// or http:// and names no user"


class JobEvent(StrEnum):
    """States of a job that are told."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class GenerationEvent(StrEnum):
    """Ends of a generation that are told."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class _Webhook(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[
        str,
        Field(
            max_length=2000,
            description="Where messages are posted, signed as of Standard Webhooks: http:// or https://",
            examples=["https://app.example/hooks/fewstep"],
        ),
    ]

    @field_validator("url")
    @classmethod
    def _check(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = (
                url.isascii()
                and url.isprintable()
                and " " not in url
                and parts.scheme in ("http", "https")
                and bool(parts.hostname)
                and parts.port != 0
                and "@" not in parts.netloc
            )
        except ValueError:
            sound = False
        if not sound:
            raise ValueError(f"must be {ADDRESS_WORDS}")
        return url


class GenerationWebhook(_Webhook):
    """Who is to hear how a generation ended."""

    events: Annotated[
        tuple[GenerationEvent, ...], Field(min_length=1, max_length=3, description="Which ends; by default all")
    ] = tuple(GenerationEvent)


class JobWebhook(_Webhook):
    """Who is to hear what becomes of a job."""

    events: Annotated[
        tuple[JobEvent, ...], Field(min_length=1, max_length=4, description="Which states; by default all ends")
    ] = (JobEvent.SUCCEEDED, JobEvent.FAILED, JobEvent.CANCELLED)


class Wanted(BaseModel):
    """What the record of a generation or job has of its webhook, for the scripts that tell of it.

    Attributes:
        path: Where to ask about it, as clients see it.
        kept_s: Seconds that messages and the log of their deliveries are kept.
    """

    url: str
    events: tuple[str, ...]
    path: str
    kept_s: int
