"""Simple and fast distillation (Zhou et al. 2024)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.methods.cfd import CFDOptions
from core.methods.declaration import Method, OptionError
from core.methods.solvers import SolverOptions

SFDLoss = Literal["l1", "cfd"]


class SFDOptions(CFDOptions):
    """What counts as close to the teacher's trajectory; with ``cfd``, by that method's options."""

    loss: Annotated[
        SFDLoss | None, Field(description="l1: pixel by pixel, the default; cfd: by a classifier's features")
    ] = None

    @property
    def needs_classifier(self) -> bool:
        """Only for features."""
        return self.loss == "cfd"

    @model_validator(mode="after")
    def _weights_are_of_features(self) -> Self:
        for option in CFDOptions.model_fields.keys() - SolverOptions.model_fields.keys():
            if not self.needs_classifier and getattr(self, option) is not None:
                raise OptionError("sfd has no use for it unless loss is cfd", option=option)
        return self


METHOD = Method(
    name="sfd",
    summary="simple and fast distillation, along the student's own steps, any number, without images",
    build="models.distillation.methods.sfd:build",
    options=SFDOptions,
    of_known_data=("dataset_weight",),
    halves=False,
    needs_images=False,
    own_steps_only=True,
)
