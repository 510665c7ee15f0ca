"""``/models``: which families and checkpoints there are."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.examples import CARD_RESPONSES
from app.service import ServiceDependency
from core.card import Card, Family
from core.errors import NotFound
from core.generation import served_steps

router = APIRouter(prefix="/models", tags=["models"])


class FamilyResponse(BaseModel):
    """A model family."""

    name: str
    default: Annotated[bool, Field(description="Whether a request without a model gets this one")]
    steps: Annotated[dict[int, str], Field(description="The checkpoint that serves each number of steps")]
    parameters: Annotated[int, Field(description="Weights of its largest network")]
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    checkpoints: dict[str, Card]


class FamiliesResponse(BaseModel):
    """All model families."""

    models: list[FamilyResponse]


def _describe(family: Family, default_model: str) -> FamilyResponse:
    cards = list(family.cards.values())
    return FamilyResponse(
        name=family.name,
        default=family.name == default_model,
        steps=served_steps(family),
        parameters=max(card.parameters for card in cards),
        image_shape=cards[0].image_shape,
        checkpoints=family.cards,
    )


@router.get("", summary="All model families")
def list_models(service: ServiceDependency) -> FamiliesResponse:
    """Families, the steps they serve, their image shape, and the card of each checkpoint."""
    families = service.catalog.families().values()
    return FamiliesResponse(models=[_describe(family, service.settings.default_model) for family in families])


@router.get("/{family}/{checkpoint}", summary="The card of a checkpoint", responses=CARD_RESPONSES)
def get_card(service: ServiceDependency, family: str, checkpoint: str) -> Card:
    """How a checkpoint was made, what it expects and how good it is."""
    cards = service.catalog.find(family).cards
    if checkpoint not in cards:
        allowed = list(cards)
        listed = ", ".join(allowed)
        raise NotFound(
            f"{family} has no checkpoint {checkpoint!r}; it has {listed}", field="checkpoint", allowed=allowed
        )
    return cards[checkpoint]
