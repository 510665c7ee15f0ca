"""A training that is ready to begin, of whatever it is that learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from models.training.progress import OnProgress
from models.training.trainer import TrainConfig

Network = TypeVar("Network")


class Run(Protocol[Network]):
    """Loaded, and trained as often as need be: each time from the beginning, or from where its state is."""

    @property
    def config(self) -> TrainConfig:
        """How it is trained."""

    @property
    def about(self) -> str:
        """What it learns from, in a line."""

    def train(self, state_path: Path, on_progress: OnProgress) -> Network:
        """The trained network; arguments and errors as of ``models.training.trainer.train``."""

    def save(
        self,
        folder: Path,
        trained: Network,
        state_path: Path,
        *,
        command: str | None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> Any:  # noqa: ANN401
        """Write what it came to, with its card, which is given back; it may be tested before."""
