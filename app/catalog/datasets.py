"""``/datasets``: what a job can train on."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.access.caller import Known
from app.service import ServiceDependency
from core.catalog import datasets
from core.catalog.datasets import DatasetFacts

router = APIRouter(tags=["models"])


class DatasetsResponse(BaseModel):
    """All data sets."""

    datasets: list[DatasetFacts]
    synthetic: Annotated[str, Field(description="What the name `synthetic` stands for")] = (
        "images that the teacher of the job makes: of its shape and classes, and no data are needed"
    )


@router.get("/datasets", summary="All data sets")
def list_datasets(service: ServiceDependency, _: Known) -> DatasetsResponse:
    """What distillation workers have found in the folder of data sets, and the digits that they all have."""
    return DatasetsResponse(datasets=list(datasets.read(service.jobs.redis).values()))
