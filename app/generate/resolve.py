"""From what a client asked to a generation with everything decided: model, checkpoint, seed, media type, layout."""

import math
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from asgi_correlation_id import correlation_id

from app.access.caller import Caller
from app.generate.choice import choose_checkpoint
from app.generate.negotiation import choose_media_type
from core import tracing
from core.catalog.card import Family, refuse_class
from core.errors import InvalidRequest
from core.generation.request import MAX_SEED, MAX_STEPS, GenerateRequest, Generation, MediaType
from core.settings import Settings


@dataclass(frozen=True)
class Asked:
    """A request as it came: body, what ``Accept`` says, who sent it, and whether they come back for the result."""

    body: GenerateRequest
    accept: str
    caller: Caller
    asynchronous: bool


def resolve(asked: Asked, find: Callable[[str, Caller], Family], settings: Settings) -> Generation:
    """The request with everything decided; ``find`` gives the family of a name for a caller.

    Raises:
        FewstepError: It asks for what there is not, or not together.
    """
    body, asynchronous = asked.body, asked.asynchronous
    media_type = choose_media_type(asked.accept, body.format)
    layout = body.layout or ("grid" if media_type.is_picture else "images")
    is_long = body.steps > MAX_STEPS
    in_pieces = asynchronous and layout == "images" and media_type in (MediaType.ZIP, MediaType.NPY) and not is_long
    most = max(settings.max_bulk_images, settings.max_images) if in_pieces else settings.max_images
    if body.n > most:
        bulk = f"; up to {settings.max_bulk_images} with `Prefer: respond-async` as zip or npy" if not in_pieces else ""
        raise InvalidRequest(f"n may be at most {most}{bulk}", field="n", allowed={"minimum": 1, "maximum": most})
    seed = secrets.randbelow(MAX_SEED + 2 - body.n) if body.seed is None else body.seed
    if seed + body.n - 1 > MAX_SEED:
        raise InvalidRequest(
            f"the last of {body.n} images would have a seed over {MAX_SEED}",
            field="seed",
            allowed={"minimum": 0, "maximum": MAX_SEED + 1 - body.n},
        )
    if media_type.is_picture and layout == "images" and body.n > 1:
        raise InvalidRequest(
            f"{media_type} is one picture; {body.n} images by themselves need application/json, application/zip or "
            "application/x-npy",
            field="layout",
            allowed=["grid"],
        )
    family = find(body.model or settings.default_model, asked.caller)
    checkpoint = choose_checkpoint(family, body, asynchronous=asynchronous, most=settings.max_checkpoint_steps)
    if body.class_label is not None:
        refuse_class(family.cards[checkpoint], body.class_label)
    pixels = body.n * math.prod(family.cards[checkpoint].image_shape)
    created = time.time()  # Redis has the last word (`records.submit`)
    return Generation(
        id=uuid.uuid4().hex,
        model=family.name,
        checkpoint=checkpoint,
        artifact=family.artifacts.get(checkpoint),
        steps=body.steps,
        n=body.n,
        seed=seed,
        class_label=body.class_label,
        format=media_type.removeprefix("image/") if media_type.is_picture else body.format,
        layout=layout,
        media_type=media_type,
        priority="bulk" if is_long else body.priority or ("bulk" if asynchronous else "interactive"),
        pieces=body.n > settings.max_images or (in_pieces and pixels > settings.max_redis_result_bytes),
        created=created,
        deadline=None if asynchronous else created + settings.deadline_s,
        request_id=correlation_id.get() or "",
        trace=tracing.traceparent(),
        owner=asked.caller.name,
    )
