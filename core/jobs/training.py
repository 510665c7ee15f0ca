"""What a client may ask of ``/training-jobs``, and what a worker is told to do."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from core.catalog.datasets import DataRef
from core.jobs.references import CheckpointRef, JobKind, Judge, origins_of
from core.jobs.request import NAME_PATTERN, optional
from core.training.options import ClassifierOptions, Kind, TeacherOptions, described, fields_of_all, settle
from core.webhooks.request import JobWebhook

TEACHER = "teacher"
"""Name of the checkpoint that a trained teacher is in its family."""


class EvaluateTeacher(BaseModel):
    """How a teacher is judged."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    samples: Annotated[int, Field(ge=4, description="Samples, up to the limit of the service")] = 2000
    steps: Annotated[int, Field(ge=1, le=1024, description="That each is sampled in")] = 8


class RequestOfAnyKind(BaseModel):
    """The body of ``POST /training-jobs`` without the options of the two kinds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Annotated[Literal["teacher", "classifier"], Field(description="What is trained")]
    data: Annotated[str, Field(max_length=200, description="One of `GET /datasets`; for a classifier one with classes")]
    name: Annotated[
        str | None,
        Field(
            pattern=NAME_PATTERN,
            description="Family of the teacher, which serves as its `teacher`, or name of the classifier; by default "
            "the name of the data and a part of the id",
        ),
    ] = None
    judge: Annotated[
        str | None,
        Field(
            max_length=200,
            description="For a teacher: one of `GET /classifiers`, which judges it and then students made of it; of "
            "another architecture than the one that they are to be distilled through",
        ),
    ] = None
    evaluate: Annotated[
        EvaluateTeacher | None, Field(description="For a teacher with a judge: how it is judged, by default so")
    ] = None

    webhook: Annotated[JobWebhook | None, Field(description="Who is to hear what becomes of it")] = None

    @property
    def given(self) -> dict[str, Any]:
        """Options that were asked for."""
        return {name: value for name in fields_of_all() if (value := getattr(self, name)) is not None}


if TYPE_CHECKING:
    TrainingRequest = RequestOfAnyKind
else:
    TrainingRequest = create_model("TrainingRequest", __base__=RequestOfAnyKind, **optional(fields_of_all(), described))
    TrainingRequest.__doc__ = "The body of ``POST /training-jobs``; all but kind and data has a default."


class TrainingJob(BaseModel):
    """A resolved request: all that a worker must know, and what the record keeps.

    Attributes:
        id: 32 hexadecimal digits.
        kind: Of job.
        name: Family of the teacher, or name of the classifier.
        request: As it was sent, and with the number of iterations.
        data: Name of the data set.
        data_ref: Where that is, if it was uploaded.
        init: What a teacher goes on from.
        judge: What a teacher is judged by.
        created: Seconds since the epoch.
        request_id: Correlation id of the HTTP request, for the log lines of the worker.
        owner: Name of the key that it belongs to; empty where keys were not asked for.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: JobKind
    name: str
    request: TrainingRequest
    data: str
    data_ref: DataRef | None = None
    init: CheckpointRef | None = None
    judge: Judge | None = None
    created: float
    request_id: str
    owner: str = ""

    @property
    def options(self) -> TeacherOptions | ClassifierOptions:
        """What was asked for, with defaults."""
        return settle(Kind(self.kind), self.request.given)

    @property
    def place(self) -> str:
        """What it takes of all names that there are."""
        return f"classifiers/{self.name}" if self.kind is JobKind.CLASSIFIER else self.name

    @property
    def rounds(self) -> tuple[str, ...]:
        """Name of each round, of which there is one."""
        return (self.kind,)

    @property
    def uses(self) -> frozenset[str]:
        """Ids of the jobs and uploads that it is made of."""
        judged = (self.judge.classifier.artifact, self.judge.data_ref) if self.judge else ()
        return origins_of(self.data_ref, self.init.artifact if self.init else None, *judged)

    def iterations_of(self, round_index: int) -> int:  # noqa: ARG002
        """Of the round."""
        return self.options.iterations
