"""A bar of progress on a terminal or in a notebook; nowhere else, so that logs stay readable."""

import sys
from types import TracebackType
from typing import Self

WIDTH = 24


class Bar:
    """One line on stderr, written over as things go on; a context manager that ends the line."""

    def __init__(self, *, wanted: bool) -> None:
        # Notebooks show \r as a terminal does, and say that they are none.
        self._on = wanted and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self._longest = 0

    def show(self, share: float, words: str) -> None:
        """Draw it anew: ``share`` from 0 to 1, and what is happening."""
        if self._on:
            done = round(WIDTH * share)
            line = f"[{'#' * done}{'.' * (WIDTH - done)}] {share:4.0%} {words}"
            self._longest = max(self._longest, len(line))
            print(f"\r{line:<{self._longest}}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._longest:
            print(file=sys.stderr)
