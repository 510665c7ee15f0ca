"""``/models``: which families and checkpoints there are, to see and to take away, and the way back from a promotion."""

import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from app.catalog.downloads import zip_stream
from app.generate.examples import CARD_RESPONSES, DOWNLOAD_RESPONSES, ROLLBACK_RESPONSES
from app.service import Service, ServiceDependency
from core.catalog import serving
from core.catalog.card import Card, Family, no_such_checkpoint
from core.catalog.serving import Promotion, Serving
from core.errors import Conflict
from core.generation.request import served_steps

router = APIRouter(prefix="/models", tags=["models"])


class FamilyResponse(BaseModel):
    """A model family."""

    name: str
    default: Annotated[bool, Field(description="Whether a request without a model gets this one")]
    steps: Annotated[dict[int, str], Field(description="The checkpoint that serves each number of steps")]
    parameters: Annotated[int, Field(description="Weights of its largest network")]
    image_shape: Annotated[tuple[int, int, int], Field(description="Channels, height, width")]
    checkpoints: dict[str, Card]
    promotions: Annotated[
        dict[int, list[Promotion]],
        Field(description="Checkpoints of jobs that took a place in it, by steps; of each list the last is in force"),
    ]


class FamiliesResponse(BaseModel):
    """All model families."""

    models: list[FamilyResponse]


def _describe(family: Family, default_model: str, now: Serving) -> FamilyResponse:
    cards = list(family.cards.values())
    return FamilyResponse(
        name=family.name,
        default=family.name == default_model,
        steps=served_steps(family),
        parameters=max(card.parameters for card in cards),
        image_shape=cards[0].image_shape,
        checkpoints=family.cards,
        promotions={steps: list(found) for (name, steps), found in now.promoted.items() if name == family.name},
    )


def _find(service: ServiceDependency, family: str, checkpoint: str) -> Family:
    found = service.catalog.find(family)
    if checkpoint not in found.cards:
        raise no_such_checkpoint(found, checkpoint)
    return found


@router.get("", summary="All model families")
def list_models(service: ServiceDependency) -> FamiliesResponse:
    """Families, the steps they serve, their image shape, the card of each checkpoint, and what jobs have promoted."""
    families, now = service.catalog.families().values(), service.catalog.serving()
    return FamiliesResponse(models=[_describe(family, service.settings.default_model, now) for family in families])


@router.get("/{family}/{checkpoint}", summary="The card of a checkpoint", responses=CARD_RESPONSES)
def get_card(service: ServiceDependency, family: str, checkpoint: str) -> Card:
    """How a checkpoint was made, what it expects and how good it is."""
    return _find(service, family, checkpoint).cards[checkpoint]


@router.get(
    "/{family}/{checkpoint}/download",
    summary="A checkpoint as a zip",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES,
)
async def download(
    service: ServiceDependency, family: str, checkpoint: str, found: Annotated[Family, Depends(_find)]
) -> StreamingResponse:
    """The folder of a checkpoint, which plain diffusers opens once it is unpacked."""
    folder = await service.storage.call(_folder, service, found, checkpoint)
    top = re.sub(r"[^A-Za-z0-9._-]", "_", f"{family}-{checkpoint}")
    headers = {"Content-Disposition": f'attachment; filename="{top}.zip"'}
    return StreamingResponse(zip_stream(folder, top=top), headers=headers, media_type="application/zip")


@router.post("/{family}/{steps}/rollback", summary="Undo the last promotion", responses=ROLLBACK_RESPONSES)
def rollback(service: ServiceDependency, family: str, steps: int) -> Promotion:
    """Let the checkpoint serve again that did before the last promotion at this number of steps.

    Requests that were accepted before are still sampled from what they named. Answers with the promotion undone.
    """
    service.catalog.find(family, field="family")
    undone = serving.rollback(service.jobs.redis, family, steps)
    if undone is None:
        raise Conflict(f"nothing is promoted in {family} at {steps} steps", field="steps")
    return undone


def _folder(service: Service, family: Family, checkpoint: str) -> Path:
    artifact = family.artifacts.get(checkpoint)
    return service.artifacts.folder(artifact) if artifact else family.path / checkpoint
