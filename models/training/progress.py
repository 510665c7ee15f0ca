"""What a run reports after each iteration, and how a terminal shows it and stops it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from torch import Tensor

_READ_LOSS_EVERY = 20


class StopTraining(Exception):  # noqa: N818 (a request, not an error)
    """Raised by a progress callback to end a run early; its state is saved first."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after an iteration.

    Attributes:
        iteration: Iterations done.
        iterations: Iterations in all.
        loss: Loss of this iteration, a scalar on the device; reading it waits for the device.
        gradient_norm: Norm of the gradient before it was clipped; as ``loss``.
    """

    iteration: int
    iterations: int
    loss: "Tensor"
    gradient_norm: "Tensor"


OnProgress = Callable[[Progress], None]


def speaks() -> bool:
    """Whether this process talks to the terminal: of those that torchrun starts, the first does."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def terminal_progress(title: str, *, batch_size: int) -> Iterator[OnProgress]:
    """A bar with loss, throughput and time left; Ctrl-C and SIGTERM stop the run once the iteration under way is done.

    Args:
        title: Shown before the bar.
        batch_size: Images an iteration, for the throughput.
    """
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal stopping
        stopping = True

    with tqdm(desc=title, unit="img", unit_scale=True, dynamic_ncols=True, disable=not speaks()) as bar:

        def show(progress: Progress) -> None:
            if bar.total is None:
                bar.reset(total=progress.iterations * batch_size)
                bar.initial = (progress.iteration - 1) * batch_size
                bar.n = bar.last_print_n = bar.initial
            if progress.iteration % _READ_LOSS_EVERY == 0 or progress.iteration == progress.iterations:
                bar.set_postfix_str(
                    f"{progress.iteration}/{progress.iterations} loss {progress.loss.item():.4f}", refresh=False
                )
            bar.update(batch_size)
            if stopping:
                raise StopTraining(
                    f"stopped after iteration {progress.iteration} of {progress.iterations}; "
                    "the same command goes on from there"
                )

        before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield show
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
