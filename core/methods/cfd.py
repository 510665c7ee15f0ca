"""Classifier-based feature distillation (Sun et al. 2022)."""

from typing import Annotated, ClassVar

from pydantic import Field

from core.methods.declaration import Method
from core.methods.solvers import SolverOptions

PAPERS = "; by default the paper's for the kind of classifier"


class FeatureOptions(SolverOptions):
    """Of a loss between the features of a classifier."""

    takes_classifier: ClassVar[bool] = True

    temperature: Annotated[
        float | None, Field(gt=0, le=10, description=f"Below 1 it sharpens the teacher's features{PAPERS}")
    ] = None


class CFDOptions(FeatureOptions):
    """Weights of the loss."""

    dataset_weight: Annotated[
        float | None, Field(ge=0, le=100, description=f"Of the dataset term; the classifier must know the data{PAPERS}")
    ] = None
    entropy_share: Annotated[
        float | None, Field(ge=0, le=1, description=f"Of confidence in that term, the rest is diversity{PAPERS}")
    ] = None


METHOD = Method(
    name="cfd",
    summary="classifier-based feature distillation",
    build="models.distillation.methods.cfd:build",
    options=CFDOptions,
    of_known_data=("dataset_weight",),
)
