"""What a run reports after each iteration, and how a terminal shows it and stops it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from torch import Tensor

_READ_LOSS_EVERY = 20
_LOG_EVERY_S = 60.0


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


def say(line: str) -> None:
    """Tell the user something while a run goes on: on stderr, and once, however many processes there are."""
    if speaks():
        print(line, file=sys.stderr, flush=True)


def progress_bar(**options: Any) -> "tqdm[Any]":  # noqa: ANN401 (tqdm's own)
    """A bar on stderr; a line a minute where that is no terminal, and none where ``TQDM_DISABLE`` says so.

    Args:
        options: tqdm's.
    """
    quiet = os.environ.get("TQDM_DISABLE", "0").lower() not in ("", "0", "false", "no")
    if not sys.stderr.isatty():
        options |= {"file": SimpleNamespace(write=_write_line, flush=lambda: sys.stderr.flush())}
        options |= {"mininterval": _LOG_EVERY_S, "maxinterval": _LOG_EVERY_S, "miniters": 1}
        options |= {"delay": 1e-9}  # nothing is said before the first step
    return tqdm(**options, dynamic_ncols=True, disable=quiet or not speaks())


def _write_line(text: str) -> None:
    """What tqdm draws over what it drew before, as a line of its own."""
    if line := text.strip():
        sys.stderr.write(f"{line}\n")


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

    with progress_bar(desc=title, unit="img", unit_scale=True) as bar:

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
            bar.leave = bar.total is not None  # of a run that never began there is nothing to show
