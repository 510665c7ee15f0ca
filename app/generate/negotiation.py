"""What the client wants back: ``Accept`` (RFC 9110 § 12.5.1) and ``Prefer`` (RFC 7240)."""

from collections.abc import Iterable

from core.errors import NotAcceptable
from core.generation.request import ImageFormat, MediaType


def choose_media_type(accept: str, image_format: ImageFormat) -> MediaType:
    """The media type that ``accept`` prefers among those there are.

    The highest q wins, then the more specific range, then the one named first. Within ``image/*`` it is
    ``image_format``, within ``*/*`` and without any header JSON.

    Raises:
        NotAcceptable: None is acceptable; the error lists those there are.
    """
    ranges = _parse(accept or "*/*")
    preferred = MediaType(f"image/{image_format}")
    offers = sorted(MediaType, key=lambda offer: (offer is not MediaType.JSON, offer is not preferred))
    best: tuple[tuple[float, int, int], MediaType] | None = None
    for offer in offers:
        matches = [
            (specificity, -position, q)
            for position, (pattern, q) in enumerate(ranges)
            if (specificity := _match(pattern, offer)) is not None
        ]
        if not matches:
            continue
        specificity, position, q = max(matches)
        rank = (q, specificity, position)
        if q > 0 and (best is None or rank > best[0]):
            best = (rank, offer)
    if best is None:
        allowed = [str(offer) for offer in MediaType]
        raise NotAcceptable(f"there are {', '.join(allowed)}", field="Accept", allowed=allowed)
    return best[1]


def prefers_async(prefer: Iterable[str]) -> bool:
    """Whether any of the ``Prefer`` headers says ``respond-async``."""
    return any(token.split(";")[0].strip().lower() == "respond-async" for line in prefer for token in line.split(","))


def _parse(accept: str) -> list[tuple[str, float]]:
    """Media ranges with their q, in the order of the header; what cannot be read is passed over."""
    ranges = []
    for part in accept.split(","):
        pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
        q = next((value for name, _, value in (item.partition("=") for item in parameters) if name.strip() == "q"), "1")
        try:
            ranges.append((pattern, min(max(float(q), 0.0), 1.0)))
        except ValueError:
            continue
    return ranges


def _match(pattern: str, offer: MediaType) -> int | None:
    """How specifically a media range matches: 2 by name, 1 by main type, 0 by ``*/*``; ``None`` if not at all."""
    if pattern == offer:
        return 2
    if pattern == f"{offer.partition('/')[0]}/*":
        return 1
    return 0 if pattern in ("*/*", "*") else None
