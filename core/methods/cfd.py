"""Classifier-based feature distillation (Sun et al. 2022)."""

from typing import Annotated

from pydantic import Field

from core.methods.declaration import Method, Options


class CFDOptions(Options):
    """By default the paper's, which depend on the kind of classifier."""

    temperature: Annotated[
        float | None, Field(gt=0, le=10, description="Below 1 it sharpens the teacher's features")
    ] = None
    dataset_weight: Annotated[
        float | None, Field(ge=0, le=100, description="Of the dataset term; the classifier must know the data")
    ] = None
    entropy_share: Annotated[
        float | None, Field(ge=0, le=1, description="Of confidence in that term, the rest is diversity")
    ] = None


METHOD = Method(
    name="cfd",
    summary="classifier-based feature distillation",
    build="models.distillation.methods.cfd:build",
    options=CFDOptions,
    needs_classifier=True,
    of_known_data=("dataset_weight",),
)
