"""``/models``: which families and checkpoints there are, to see and to take away, and the way back from a promotion."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from starlette.responses import StreamingResponse

from app.access.caller import Caller, Distils, Known
from app.catalog.documents import PATH, FamiliesResponse, Promotion, describe, promotion_of
from app.catalog.downloads import zip_stream
from app.generate.examples import CARD_RESPONSES, DOWNLOAD_RESPONSES, ROLLBACK_RESPONSES
from app.paths import Root
from app.service import Service, ServiceDependency
from core.catalog import serving
from core.catalog.card import Card, Family, no_such_checkpoint
from core.errors import Conflict, NotFound
from core.uploads.record import UploadKind, UploadState

MOST_LISTED = 100

router = APIRouter(prefix=PATH, tags=["models"])


def _find(service: ServiceDependency, caller: Known, family: str, checkpoint: str) -> Family:
    try:
        found = service.catalog.find(family, caller)
        if checkpoint not in found.cards:
            raise no_such_checkpoint(found, checkpoint)
    except NotFound as error:
        raise _not_ready(service, caller, f"{family}/{checkpoint}") or error from None
    return found


def _not_ready(service: Service, caller: Caller, name: str) -> NotFound | None:
    """The error for a checkpoint that was uploaded, if it was."""
    upload = service.uploads.find(UploadKind.MODEL, name)
    if upload is None or upload.state is UploadState.READY or not caller.sees(upload.owner):
        return None
    because = f": {upload.reason}" if upload.reason else ""
    return NotFound(f"{name} was uploaded, and is {upload.state}{because}", field="checkpoint")


@router.get("", summary="Model families")
def list_models(
    service: ServiceDependency,
    caller: Known,
    root: Root,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most families on a page")] = MOST_LISTED,
    cursor: Annotated[str | None, Query(max_length=200, description="From `next` of the page before")] = None,
) -> FamiliesResponse:
    """Families by name: the steps they serve, their image shape, each checkpoint in short, and what jobs have promoted.

    `next` is the path of the following page.
    """
    families, now = service.catalog.seen_by(caller), service.catalog.serving()
    names = sorted(name for name in families if cursor is None or name > cursor)
    shown, default = names[:limit], service.settings.default_model
    return FamiliesResponse(
        models=[describe(families[name], now, is_default=name == default, root=root) for name in shown],
        next=f"{root}{PATH}?{urlencode({'limit': limit, 'cursor': shown[-1]})}" if len(names) > limit else None,
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
