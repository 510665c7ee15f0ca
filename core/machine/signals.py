"""Signals to a process that is only starting."""

import os
import signal
from types import FrameType


def end_at_once(*signs: signal.Signals) -> None:
    """Let signals end this process, at once and well, until something else handles them: nothing is in hand yet.

    Also the first process of a container, which no signal ends of itself, and whatever is being waited for.
    """

    def end(_sign: int, _frame: FrameType | None) -> None:
        os._exit(0)

    for sign in signs:
        signal.signal(sign, end)
