"""Which names an upload may have: none that is taken by what ships, lies in a folder or is made by a job."""

import re

from app.access.caller import Caller
from app.service import Service
from core.catalog import datasets
from core.errors import Conflict, InvalidRequest
from core.jobs.request import NAME_PATTERN, SYNTHETIC
from core.uploads.record import Upload, UploadKind

RESERVED = frozenset({"rollback", "download"})


def refuse_name(service: Service, caller: Caller, kind: UploadKind, name: str) -> None:
    """Raise where an upload of a caller cannot have a name.

    Raises:
        InvalidRequest: It is no name.
        Conflict: It is taken.
    """
    fields = ("family", "checkpoint") if kind is UploadKind.MODEL else ("name",)
    for field, part in zip(fields, name.split("/"), strict=True):
        if not re.fullmatch(NAME_PATTERN, part) or part in RESERVED:
            raise InvalidRequest(
                f"{part!r} is no name: small letters, digits, '.', '_' and '-', 64 at most, the first a letter or "
                "digit",
                field=field,
                allowed={"pattern": NAME_PATTERN},
            )
    if kind is UploadKind.MODEL and any(not caller.sees(one.owner) for one in _in_family(service, name)):
        raise Conflict("another key has uploaded a family of this name", field="family")
    if service.uploads.find(kind, name) is None and _is_taken(service, kind, name):
        words = {UploadKind.DATASET: "a data set", UploadKind.MODEL: "a family", UploadKind.CLASSIFIER: "a classifier"}
        raise Conflict(
            f"there is {words[kind]} {name.partition('/')[0]!r} already, which was not uploaded", field=fields[0]
        )


def _is_taken(service: Service, kind: UploadKind, name: str) -> bool:
    settings = service.settings
    match kind:
        case UploadKind.DATASET:
            return name == SYNTHETIC or name in datasets.read(service.jobs.redis)
        case UploadKind.CLASSIFIER:
            return (settings.classifiers / name).exists() or name in service.catalog.serving().classifiers
    family = name.partition("/")[0]
    if any((root / family).exists() for root in settings.families):
        return True
    return family in service.catalog.families() and not _in_family(service, name)


def _in_family(service: Service, name: str) -> list[Upload]:
    """Checkpoints that were uploaded into the family of one."""
    family = name.partition("/")[0]
    return [one for one in service.uploads.all(UploadKind.MODEL) if one.name.partition("/")[0] == family]
