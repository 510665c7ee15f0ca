"""Relational diffusion distillation (Feng et al. 2024)."""

from typing import Annotated

from pydantic import Field

from core.methods.cfd import FeatureOptions
from core.methods.declaration import Method


class RDDOptions(FeatureOptions):
    """Weights of the loss, beside the features' own."""

    relation_weight: Annotated[
        float, Field(ge=0, le=100, description="Of how pixels of the classifier's maps are alike, within the batch")
    ] = 1.0
    memory_weight: Annotated[
        float, Field(ge=0, le=100, description="Of how they are like those of batches before; 0 keeps no memory")
    ] = 0.1


METHOD = Method(
    name="rdd",
    summary="relational diffusion distillation",
    build="models.distillation.methods.rdd:build",
    options=RDDOptions,
)
