"""What the process that trains tells the one that serves metrics, as it happens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Subject:
    """What a message is about: the teacher's family, and the method."""

    model: str
    method: str


@dataclass(frozen=True)
class Trained:
    """Iterations were done.

    Attributes:
        steps: Of the student.
        iterations: Since the last message of the kind.
        done: Of all rounds of the job.
        total: Of all rounds of the job.
        rate: Iterations a second; None if it is not known yet.
        loss: Of the last iteration; None where only iterations are to be counted, and so is ``gradient_norm``.
    """

    subject: Subject
    steps: int
    iterations: int
    done: int
    total: int
    rate: float | None = None
    loss: float | None = None
    gradient_norm: float | None = None


@dataclass(frozen=True)
class RoundFinished:
    """A student is made.

    Attributes:
        seconds: Of training, over all slices.
        frechet_distance: None if it was not judged.
    """

    subject: Subject
    steps: int
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
