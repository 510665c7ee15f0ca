"""Times as documents have them: in UTC, by RFC 3339 once they are JSON."""

from datetime import UTC, datetime
from typing import overload


@overload
def utc(seconds: float) -> datetime: ...
@overload
def utc(seconds: float | None) -> datetime | None: ...
def utc(seconds: float | None) -> datetime | None:
    """Seconds since the epoch as a time of day; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def rfc_3339(seconds: float) -> str:
    """The same as text, for documents that are made by hand."""
    return utc(seconds).isoformat().replace("+00:00", "Z")
