"""What jobs name and are made of, each as it was when it was named; and what a round of one makes."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from core.catalog.datasets import DataRef

WHERE_IT_IS = Field(exclude_if=lambda value: value is None)
"""Of what lies in a folder nothing is said."""


class JobKind(StrEnum):
    """What a job makes: students, or by training a teacher or a classifier."""

    DISTILLATION = "distillation"
    TEACHER = "teacher"
    CLASSIFIER = "classifier"


class CheckpointRef(BaseModel):
    """A checkpoint as it was when it was named.

    Attributes:
        artifact: Key of its folder in the artifact store; None: it is below one of the folders of families.
        sha256: Of its weights.
    """

    model_config = ConfigDict(frozen=True)

    family: str
    checkpoint: str
    artifact: str | None
    sha256: str

    @property
    def name(self) -> str:
        """``family/checkpoint``, as cards have it."""
        return f"{self.family}/{self.checkpoint}"


class ClassifierRef(BaseModel):
    """A classifier as it was when it was named.

    Attributes:
        knows_data: Whether it was trained on what students are to make; only then has the dataset term a meaning.
        artifact: Key of its folder in the artifact store; None: it is below a folder of families or of classifiers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    knows_data: bool = True
    artifact: Annotated[str | None, WHERE_IT_IS] = None


class Judge(BaseModel):
    """What students are judged by, as the teacher's card has it.

    Attributes:
        data: Name of the reference data set.
        samples: Of each student, with seeds from 0.
        data_ref: Where the data set is, if it was uploaded.
    """

    model_config = ConfigDict(frozen=True)

    classifier: ClassifierRef
    data: str
    data_fingerprint: str
    samples: int
    data_ref: Annotated[DataRef | None, WHERE_IT_IS] = None


def origins_of(*named: str | DataRef | None) -> frozenset[str]:
    """Ids of the jobs and uploads that artifacts belong to: the second part of each key."""
    keys = (one.artifact if isinstance(one, DataRef) else one for one in named)
    return frozenset(key.split("/")[1] for key in keys if key is not None)


class RoundResult(BaseModel):
    """What a finished round made.

    Attributes:
        steps: Of the student or teacher; None of a classifier.
        checkpoint: ``family/checkpoint``, or a classifier's name, as which it is listed once the job has succeeded.
        artifact: Key of its folder in the artifact store.
        samples: Key of a PNG with a grid of samples; None of a classifier.
        metrics: As ``fewstep evaluate`` has them, of a classifier its accuracy; None where it was not judged.
        promote: Whether it takes the place of the one that serves in the teacher's family when the job succeeds.
        rival: Name of that one, if there is one.
        rival_frechet_distance: Its distance, judged alike.
    """

    model_config = ConfigDict(frozen=True)

    steps: int | None
    checkpoint: str
    artifact: str
    samples: str | None
    metrics: dict[str, Any] | None = None
    promote: bool = False
    rival: str | None = None
    rival_frechet_distance: float | None = None
