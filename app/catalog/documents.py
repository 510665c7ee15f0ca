"""What a family looks like over HTTP: its checkpoints in short, each with the address of its card."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field, create_model

from core.catalog import serving
from core.catalog.card import Card, Family
from core.catalog.serving import Serving
from core.generation.request import served_steps
from core.machine.clock import utc

PATH = "/models"
IN_SHORT = ("num_steps", "prediction_type", "image_shape", "num_classes", "parameters", "method", "parent", "data")
"""Of a card."""


class _Linked(BaseModel):
    card: Annotated[str, Field(description="Path of the whole card")]


def _fields_of_card(names: Iterable[str]) -> dict[str, Any]:
    """As the card declares them."""
    return {name: (Card.model_fields[name].annotation, Card.model_fields[name]) for name in names}


CheckpointSummary = create_model(
    "CheckpointSummary", __base__=_Linked, __doc__="A checkpoint in short.", **_fields_of_card(IN_SHORT)
)


class Promotion(serving.Promotion):
    """A checkpoint that took the place of another family's."""

    at: Annotated[datetime, Field(description="RFC 3339 in UTC")]  # type: ignore[assignment]


class FamilyResponse(BaseModel):
    """A model family."""

    name: str
    default: Annotated[bool, Field(description="Whether a request without a model gets this one")]
    steps: Annotated[dict[int, str], Field(description="The checkpoint that serves each number of steps")]
    parameters: Annotated[int, Field(description="Weights of its largest network")]
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    checkpoints: Annotated[dict[str, CheckpointSummary], Field(description="By name")]
    promotions: Annotated[
        dict[int, list[Promotion]],
        Field(description="Checkpoints of jobs that took a place in it, by steps; of each list the last is in force"),
    ]


class FamiliesResponse(BaseModel):
    """A page of model families."""

    models: list[FamilyResponse]
    next: Annotated[str | None, Field(description="Path of the page after this one; null: it is the last")]


def describe(family: Family, now: Serving, *, is_default: bool, root: str) -> FamilyResponse:
    """A family; ``root`` is what paths in it begin with."""
    cards = list(family.cards.values())
    return FamilyResponse(
        name=family.name,
        default=is_default,
        steps=served_steps(family),
        parameters=max(card.parameters for card in cards),
        image_shape=cards[0].image_shape,
        checkpoints={
            name: {
                "card": f"{root}{PATH}/{quote(family.name, safe='')}/{quote(name, safe='')}",
                **card.model_dump(include=set(IN_SHORT)),
            }
            for name, card in family.cards.items()
        },
        promotions={
            steps: [promotion_of(one) for one in found]
            for (name, steps), found in now.promoted.items()
            if name == family.name
        },
    )


def promotion_of(kept: serving.Promotion) -> Promotion:
    """As answers have it; Redis keeps its time in seconds."""
    return Promotion.model_validate(kept.model_dump() | {"at": utc(kept.at)})
