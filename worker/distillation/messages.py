"""What the process that trains tells the one that serves metrics, as it happens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.jobs.record import Job
from core.jobs.training import TrainingJob


@dataclass(frozen=True)
class Subject:
    """What a message is about: the teacher's family and the method, or what is trained anew."""

    model: str
    method: str


def subject_of(job: Job) -> Subject:
    """Of a job. The names of what is trained anew are without number, so they are no labels."""
    return Subject("new", job.kind) if isinstance(job, TrainingJob) else Subject(job.teacher.family, job.request.method)


@dataclass(frozen=True)
class Trained:
    """Iterations were done.

    Attributes:
        steps: Of the student, or what is trained.
        iterations: Since the last message of the kind.
        done: Of all rounds of the job.
        total: Of all rounds of the job.
        rate: Iterations a second; None if it is not known yet.
        loss: Of the last iteration; None where only iterations are to be counted, and so is ``gradient_norm``.
    """

    subject: Subject
    steps: str
    iterations: int
    done: int
    total: int
    rate: float | None = None
    loss: float | None = None
    gradient_norm: float | None = None


@dataclass(frozen=True)
class RoundFinished:
    """A student, teacher or classifier is made.

    Attributes:
        steps: As of ``Trained``.
        seconds: Of training, over all slices.
        frechet_distance: None if it was not judged.
    """

    subject: Subject
    steps: str
    seconds: float
    frechet_distance: float | None


@dataclass(frozen=True)
class SliceEnded:
    """A slice came to its end.

    Attributes:
        diverged: Whether loss or gradient was the reason.
        artifact_failed: Whether a state or checkpoint was that could not be written or read.
    """

    subject: Subject
    outcome: Literal["finished", "over", "failed", "cancelled", "lost"]
    diverged: bool = False
    artifact_failed: bool = False


@dataclass(frozen=True)
class StorageIsAway:
    """A slice waits for the artifact store; told each minute."""

    subject: Subject


Message = Trained | RoundFinished | SliceEnded | StorageIsAway
Tell = Callable[[Message], None]
