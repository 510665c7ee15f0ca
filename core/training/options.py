"""What a teacher or a classifier may be asked to be: command line, HTTP API and validation follow from it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from core.catalog.classifier_card import Architecture
from core.errors import InvalidRequest
from core.generation.request import MAX_SEED
from core.methods.declaration import Options
from core.training.network import norm_groups, refuse_widths
from core.training.optimizer import DESCRIPTION, Optimizer

Numbers = Annotated[tuple[int, ...], Field(max_length=16, strict=False)]
"""In JSON an array."""


class Kind(StrEnum):
    """What is trained."""

    TEACHER = "teacher"
    CLASSIFIER = "classifier"


class TrainingOptions(Options):
    """Of any training. Names are those of the JSON body and, with dashes, of the command line."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="Of all randomness")] = 0
    optimizer: Annotated[Optimizer, Field(description=DESCRIPTION)] = "adam"


class TeacherOptions(TrainingOptions):
    """Of a teacher; the defaults are the paper's for CIFAR-10."""

    init: Annotated[
        str | None,
        Field(max_length=200, description="Checkpoint to go on from, family/name, in place of a new network"),
    ] = None
    iterations: Annotated[int, Field(ge=1, description="Optimizer steps")] = 800_000
    batch_size: Annotated[int, Field(ge=1, description="Images an iteration")] = 128
    learning_rate: Annotated[float, Field(ge=0, le=1, description="After warm-up")] = 2e-4
    decay: Annotated[Literal["constant", "cosine"], Field(description="Of the learning rate")] = "constant"
    warmup: Annotated[int, Field(ge=0, description="Iterations until the learning rate is reached")] = 5_000
    ema_decay: Annotated[float, Field(ge=0, le=1, description="Of the averaged weights, an iteration")] = 0.9999
    clip: Annotated[float, Field(ge=0, description="Largest norm of the gradient")] = 1.0
    max_snr: Annotated[
        float | None,
        Field(ge=1, description="Most weight of an image's error, which else is its signal-to-noise ratio, at least 1"),
    ] = None
    channels: Annotated[int, Field(ge=32, description="Width of the first level, a multiple of 32")] = 128
    multipliers: Annotated[Numbers, Field(description="Width of each level over the first")] = (1, 2, 2, 2)
    attention: Annotated[Numbers, Field(description="Levels with self-attention, from 0; may be empty")] = (1,)
    blocks: Annotated[int, Field(ge=1, description="Residual blocks a level")] = 2
    dropout: Annotated[float, Field(ge=0, le=1, description="In each residual block")] = 0.1
    class_conditional: Annotated[bool, Field(description="Learn the data's classes, so that one can be asked for")] = (
        False
    )

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        refuse_widths(self.channels, self.multipliers, groups=norm_groups(self.channels))
        return self


class ClassifierOptions(TrainingOptions):
    """Of a classifier to distil through or to judge by."""

    architecture: Annotated[Architecture, Field(description="The paper's are resnet-18 and densenet-201")] = "resnet-18"
    iterations: Annotated[int, Field(ge=1, description="Optimizer steps")] = 20_000
    batch_size: Annotated[int, Field(ge=2, description="Images an iteration")] = 128
    learning_rate: Annotated[float, Field(ge=0, le=1, description="Falls to 0 by a cosine")] = 1e-3
    weight_decay: Annotated[
        float,
        Field(ge=0, le=1, description="Share of the weights by which a step lets them fall, times the learning rate"),
    ] = 0.0
    label_smoothing: Annotated[
        float, Field(ge=0, le=0.99, description="Share of each label that is spread over all classes")
    ] = 0.0
    shift: Annotated[int, Field(ge=0, description="Most pixels by which an image is moved")] = 4
    cutout: Annotated[
        int, Field(ge=0, description="Side in pixels of a square of each image that is made grey, anywhere")
    ] = 0


OPTIONS: Mapping[Kind, type[TeacherOptions | ClassifierOptions]] = {
    Kind.TEACHER: TeacherOptions,
    Kind.CLASSIFIER: ClassifierOptions,
}


def fields_of_all() -> dict[str, FieldInfo]:
    """The options of all kinds by name."""
    return {name: field for options in reversed(list(OPTIONS.values())) for name, field in options.model_fields.items()}


def described(option: str) -> str:
    """What an option is, for a schema."""
    words = {
        f"for a {kind}: {_in_words(options.model_fields[option])}": _in_words(options.model_fields[option])
        for kind, options in OPTIONS.items()
        if option in options.model_fields
    }
    same = len(words) == len(OPTIONS) and len(set(words.values())) == 1
    return next(iter(words.values())) if same else "; ".join(words)


def _in_words(field: FieldInfo) -> str:
    return f"{field.description}{'' if field.default is None else f', by default {field.default}'}"


def settle(kind: Kind, given: Mapping[str, Any]) -> TeacherOptions | ClassifierOptions:
    """The options of a kind as they were asked for.

    Raises:
        InvalidRequest: One is not allowed, or belongs to the other kind; the error names it.
    """
    options = OPTIONS[kind]
    for name in given:
        if name not in options.model_fields:
            raise InvalidRequest(f"a {kind} has no {name}", field=name)
    return options.checked(given)
