"""What an upload looks like over HTTP."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.catalog.datasets import DatasetFacts
from core.machine.clock import utc
from core.uploads.record import Upload, UploadKind, UploadState

PATH = "/uploads"


class UploadResponse(BaseModel):
    """An upload, and what became of it."""

    id: str
    kind: UploadKind
    name: Annotated[str, Field(description="As which it is listed; of a model `family/checkpoint`")]
    state: Annotated[
        UploadState,
        Field(description="received: no worker has looked at it yet; looking; ready: it is listed and can be used"),
    ]
    reason: Annotated[str | None, Field(description="Why it is refused")]
    bytes: Annotated[int, Field(description="Of the file that came")]
    sha256: str
    asked: Annotated[dict[str, Any], Field(description="How it is read, as it was asked for")]
    created: datetime
    updated: datetime
    links: dict[str, str]


class UploadsResponse(BaseModel):
    """All uploads."""

    uploads: list[UploadResponse]


class DatasetResponse(DatasetFacts):
    """A data set."""

    upload: Annotated[UploadResponse | None, Field(description="Null: it lies in a folder")] = None


def document_of(upload: Upload, root: str = "") -> UploadResponse:
    """An upload; ``root`` is what paths in it begin with."""
    return UploadResponse(
        id=upload.id,
        kind=upload.kind,
        name=upload.name,
        state=upload.state,
        reason=upload.reason or None,
        bytes=upload.size,
        sha256=upload.sha256,
        asked=dict(upload.asked),
        created=utc(upload.created),
        updated=utc(upload.updated),
        links={"self": f"{root}{PATH}/{upload.id}", "place": f"{root}/{upload.place}"},
    )
