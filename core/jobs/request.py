"""What a client may ask of ``/distill-jobs``, and what a worker is told to do."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from core.catalog.datasets import DataRef
from core.generation.request import MAX_SEED
from core.jobs.references import CheckpointRef, ClassifierRef, JobKind, Judge, origins_of
from core.methods.declaration import all_methods, all_options, described, owners
from core.methods.guide import GUIDANCE, USUAL_GUIDANCE
from core.training.optimizer import DESCRIPTION, Optimizer
from core.webhooks.request import JobWebhook

Promote = Literal["never", "if_better", "always"]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
SYNTHETIC = "synthetic"
DEFAULT_METHOD = "cfd"
MOST_DEFAULT_STEPS = 8
"""Steps that a teacher is sampled in where none are asked for, if its own allow it."""


class EvaluateRequest(BaseModel):
    """How the students are judged."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    samples: Annotated[int, Field(ge=4, description="Samples of each student, up to the limit of the service")] = 2000


class RequestOfAnyMethod(BaseModel):
    """The body of ``POST /distill-jobs`` without what single methods ask for; all but the teacher has a default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    teacher: Annotated[
        str,
        Field(
            max_length=200,
            description="Checkpoint to distil, `family/checkpoint` as in `GET /models`",
            examples=["digits/8-step"],
        ),
    ]
    method: str = DEFAULT_METHOD
    from_steps: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Steps that the teacher is sampled in: a divisor of its own, or any number where it was not "
            "distilled. By default 8 or, where that is no divisor or does not lead to `to_steps`, the most below 8 "
            "that will do; where a method does not halve, 4 for each of `to_steps`, and 12 at least",
        ),
    ] = None
    to_steps: Annotated[
        int,
        Field(
            ge=1,
            le=512,
            description="Steps of the last student, a divisor of `from_steps`: by a power of two if rounds halve",
        ),
    ] = 1
    classifier: Annotated[
        str | None,
        Field(
            max_length=200,
            description=f"What {', '.join(owners('classifier'))} distils through, one of `GET /classifiers`; by "
            "default its family's `classifier`",
        ),
    ] = None
    guide: Annotated[
        str | None,
        Field(
            max_length=200,
            description="A worse teacher of the same kind, such as one after fewer iterations, that the first round's "
            "is led away from: `family/checkpoint`",
        ),
    ] = None
    guidance: Annotated[
        float | None, Field(ge=1, description=f"{GUIDANCE}. With a `guide` {USUAL_GUIDANCE:g} by default")
    ] = None
    iterations: Annotated[
        int, Field(ge=1, description="A round; doubled for students of two steps and one, as in the paper")
    ] = 1000
    batch_size: Annotated[int, Field(ge=1, description="Images an iteration")] = 64
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Falls to 0 by a cosine over each round")] = 5e-5
    optimizer: Annotated[Optimizer, Field(description=DESCRIPTION)] = "adam"
    data: Annotated[
        str | None,
        Field(
            max_length=200,
            description="One of `GET /datasets`, or `synthetic`: images sampled from the teacher. By default what the "
            "teacher was trained on if it is registered, else `synthetic`; none for methods that are shown no images",
        ),
    ] = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="Of all randomness")] = 0
    name: Annotated[
        str | None,
        Field(
            pattern=NAME_PATTERN,
            description="Family that the students will serve as; by default the teacher's family and a part of the id",
        ),
    ] = None
    promote: Annotated[
        Promote,
        Field(
            description="Whether students take the place of those that serve in the teacher's family: if_better: if "
            "their Fréchet distance is lower"
        ),
    ] = "never"
    evaluate: Annotated[
        EvaluateRequest | None, Field(description="How students are judged where the teacher's card names a judge")
    ] = EvaluateRequest()
    webhook: Annotated[JobWebhook | None, Field(description="Who is to hear what becomes of it")] = None

    @property
    def given(self) -> dict[str, Any]:
        """What was asked for that only some methods have: their options, and a classifier."""
        return {name: value for name in ("classifier", *all_options()) if (value := getattr(self, name)) is not None}


def optional(options: Mapping[str, FieldInfo], described: Callable[[str], str]) -> dict[str, Any]:
    """Fields for ``create_model``: options of several kinds of work, each with what ``described`` says of its name."""
    fields: dict[str, Any] = {}
    for name, field in options.items():
        asked = copy(field)
        asked.description = described(name)
        asked.default = None  # what was not asked for is not given to work that has no such option
        fields[name] = (Optional[field.annotation], asked)  # noqa: UP045 (it is known when this runs)
    return fields


def _options_of_methods() -> dict[str, Any]:
    """Fields for ``create_model``: the choice of a method, and the options of all."""
    methods = all_methods()
    summary = "; ".join(f"{name}: {method.summary}" for name, method in methods.items())
    fields: dict[str, Any] = {"method": (Literal[tuple(methods)], Field(DEFAULT_METHOD, description=summary))}
    return fields | optional(all_options(), described)


if TYPE_CHECKING:
    DistillRequest = RequestOfAnyMethod
else:
    DistillRequest = create_model("DistillRequest", __base__=RequestOfAnyMethod, **_options_of_methods())
    DistillRequest.__doc__ = "The body of ``POST /distill-jobs``; all but the teacher has a default."


class DistillJob(BaseModel):
    """A resolved request: all that a worker must know, and what the record keeps.

    Attributes:
        id: 32 hexadecimal digits.
        name: Family of the students.
        request: As it was sent, and with the steps that the teacher is sampled in.
        teacher: What is distilled.
        steps: Of the student of each round.
        data: Name of a data set, or ``synthetic``; None where the method is shown no images.
        data_ref: Where it is, if it was uploaded.
        guide: What the teacher is led away from in the first round.
        judge: None: students are not judged.
        created: Seconds since the epoch.
        request_id: Correlation id of the HTTP request, for the log lines of the worker.
        owner: Name of the key that it belongs to; empty where keys were not asked for.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    request: DistillRequest
    teacher: CheckpointRef
    steps: tuple[int, ...]
    classifier: ClassifierRef | None
    data: str | None
    judge: Judge | None
    created: float
    request_id: str
    owner: str = ""
    data_ref: DataRef | None = None
    guide: CheckpointRef | None = None

    @property
    def kind(self) -> JobKind:
        """Of job."""
        return JobKind.DISTILLATION

    @property
    def place(self) -> str:
        """What it takes of all names that there are."""
        return self.name

    @property
    def rounds(self) -> tuple[str, ...]:
        """Name of each round."""
        return tuple(map(str, self.steps))

    @property
    def uses(self) -> frozenset[str]:
        """Ids of the jobs and uploads that it is made of."""
        judged = (self.judge.classifier.artifact, self.judge.data_ref) if self.judge else ()
        others = (one.artifact for one in (self.classifier, self.guide) if one)
        return origins_of(self.teacher.artifact, *others, self.data_ref, *judged)

    def iterations_of(self, round_index: int) -> int:
        """Of a round, from 0."""
        return self.request.iterations * (2 if self.steps[round_index] <= 2 else 1)
