"""``/datasets``: what a job can train on."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.access.caller import Caller, Known
from app.service import Service, ServiceDependency
from core.catalog import datasets
from core.catalog.datasets import DatasetFacts
from core.uploads.record import UploadKind

router = APIRouter(tags=["models"])


class DatasetsResponse(BaseModel):
    """All data sets."""

    datasets: list[DatasetFacts]
    synthetic: Annotated[str, Field(description="What the name `synthetic` stands for")] = (
        "images that the teacher of the job makes: of its shape and classes, and no data are needed"
    )


@router.get("/datasets", summary="All data sets")
def list_datasets(service: ServiceDependency, caller: Known) -> DatasetsResponse:
    """What was uploaded, what workers have found in the folder of data sets, and the digits that they all have."""
    return DatasetsResponse(datasets=list(read_datasets(service, caller).values()))


def read_datasets(service: Service, caller: Caller) -> dict[str, DatasetFacts]:
    """All data sets that a caller sees, by name."""
    uploaded = {upload.name: upload.dataset for upload in service.uploads.all(UploadKind.DATASET)}
    known = dict(sorted(uploaded.items())) | datasets.read(service.jobs.redis)
    return {name: facts for name, facts in known.items() if caller.sees_shared(facts.owner)}
