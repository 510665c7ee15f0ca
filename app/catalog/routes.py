"""``/models``: which families and checkpoints there are, to see and to take away, and the way back from a promotion."""

import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from starlette.responses import StreamingResponse

from app.access.caller import Distils, Known
from app.catalog.documents import PATH, FamiliesResponse, Promotion, describe, promotion_of
from app.catalog.downloads import zip_stream
from app.generate.examples import CARD_RESPONSES, DOWNLOAD_RESPONSES, ROLLBACK_RESPONSES
from app.paths import Root
from app.service import Service, ServiceDependency
from core.catalog import serving
from core.catalog.card import Card, Family, no_such_checkpoint
from core.errors import Conflict

router = APIRouter(prefix=PATH, tags=["models"])


def _find(service: ServiceDependency, caller: Known, family: str, checkpoint: str) -> Family:
    found = service.catalog.find(family, caller)
    if checkpoint not in found.cards:
        raise no_such_checkpoint(found, checkpoint)
    return found


@router.get("", summary="All model families")
def list_models(service: ServiceDependency, caller: Known, root: Root) -> FamiliesResponse:
    """Families, the steps they serve, their image shape, each checkpoint in short, and what jobs have promoted."""
    families, now = service.catalog.seen_by(caller).values(), service.catalog.serving()
    default = service.settings.default_model
    return FamiliesResponse(
        models=[describe(family, now, is_default=family.name == default, root=root) for family in families]
    )


@router.get("/{family}/{checkpoint}", summary="The card of a checkpoint", responses=CARD_RESPONSES)
def get_card(service: ServiceDependency, caller: Known, family: str, checkpoint: str) -> Card:
    """How a checkpoint was made, what it expects and how good it is."""
    return _find(service, caller, family, checkpoint).cards[checkpoint]


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
def rollback(service: ServiceDependency, caller: Distils, family: str, steps: int) -> Promotion:
    """Let the checkpoint serve again that did before the last promotion at this number of steps.

    Requests that were accepted before are still sampled from what they named. Answers with the promotion undone. In a
    family that is not your own this takes the scope `admin`.
    """
    caller.need_to_change(service.catalog.find(family, caller, field="family").owner)
    undone = serving.rollback(service.jobs.redis, family, steps)
    if undone is None:
        raise Conflict(f"nothing is promoted in {family} at {steps} steps", field="steps")
    return promotion_of(undone)


def _folder(service: Service, family: Family, checkpoint: str) -> Path:
    artifact = family.artifacts.get(checkpoint)
    return service.artifacts.folder(artifact) if artifact else family.path / checkpoint
