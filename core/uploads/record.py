"""What is known of an upload, as its record in Redis says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.catalog.datasets import DataRef, DatasetFacts


class UploadKind(StrEnum):
    """What was uploaded; the values are how paths begin."""

    DATASET = "datasets"
    MODEL = "models"
    CLASSIFIER = "classifiers"


class UploadState(StrEnum):
    """Where an upload stands; the last two are final."""

    RECEIVED = "received"
    LOOKING = "looking"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What is known of an upload.

    Attributes:
        id: 32 hexadecimal digits.
        name: Of a model ``family/checkpoint``.
        size: Bytes of the file that came.
        sha256: Of it.
        asked: How it is to be read: of a data set ``size``, ``image_column`` and ``label_column``, of a model
            ``prediction_type``, where the client said so.
        reason: Why it is refused.
        facts: What was found in a data set.
        owner: Name of the key that it belongs to; empty where keys were not asked for.
        worker: Who looks at it.
        created: Seconds since the epoch, and so is ``updated``.
    """

    id: str
    kind: UploadKind
    name: str
    size: int
    sha256: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    state: UploadState = UploadState.RECEIVED
    reason: str = ""
    facts: DatasetFacts | None = None
    worker: str = ""
    created: float = 0
    updated: float = 0

    @property
    def place(self) -> str:
        """Its name among those of all uploads, and its path."""
        return f"{self.kind}/{self.name}"

    @property
    def family_place(self) -> str:
        """The name that no job may have, as of ``core.jobs.record.Job``; empty for data."""
        return place_of_jobs(self.kind, self.name)

    @property
    def folder(self) -> str:
        """Key of all its files in the artifact store."""
        return f"uploads/{self.id}"

    @property
    def file(self) -> str:
        """Key of the file that came; its name is that of the data set in cards."""
        return f"{self.folder}/received/{self.name.rpartition('/')[2]}"

    @property
    def made(self) -> str:
        """Key of the folder of the checkpoint or classifier that was found in it."""
        return f"{self.folder}/made/{self.name.rpartition('/')[2]}"

    @property
    def dataset(self) -> DatasetFacts:
        """What ``/datasets`` says of it."""
        if self.state is UploadState.READY and self.facts is not None:
            read_as = {name: self.asked.get(name) for name in ("size", "image_column", "label_column")}
            ref = DataRef(artifact=self.file, sha256=self.sha256, **read_as)
            return self.facts.model_copy(update={"name": self.name, "ref": ref, "owner": self.owner})
        words = self.reason or "it was uploaded, and is yet to be looked at by a distillation worker"
        return DatasetFacts(name=self.name, error=words, owner=self.owner)


def place_of_jobs(kind: UploadKind, name: str) -> str:
    """What an upload takes of the names of jobs: the family of a model, ``classifiers/name``, or nothing for data."""
    match kind:
        case UploadKind.MODEL:
            return name.partition("/")[0]
        case UploadKind.CLASSIFIER:
            return f"classifiers/{name}"
        case _:
            return ""


def parse(fields: Mapping[str, str]) -> Upload:
    """The fields of the hash, as Redis gives them."""
    facts = fields.get("facts")
    return Upload(
        id=fields["id"],
        kind=UploadKind(fields["kind"]),
        name=fields["name"],
        size=int(fields["size"]),
        sha256=fields["sha256"],
        asked=json.loads(fields["asked"]),
        owner=fields["owner"],
        state=UploadState(fields["state"]),
        reason=fields.get("reason", ""),
        facts=DatasetFacts.model_validate_json(facts) if facts else None,
        worker=fields.get("worker", ""),
        created=float(fields["created"]),
        updated=float(fields["updated"]),
    )
