"""What a log says of an error: where it happened and what it was, in a few kilobytes, and never what variables held."""

import sys

from structlog.typing import EventDict, WrappedLogger

FRAMES = 12
"""Of each error, the innermost; what called them is the same for most."""
ERRORS = 4
"""Of those that followed from each other, the last."""
MOST_WORDS = 500
"""Characters of an error's own message, which may quote what a client sent."""
MOST_CHARACTERS = 4000


def add_traceback(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor of structlog's: the error in ``exc_info``, if there is one, becomes the text ``exception``."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = describe(error)
    return event


def describe(error: BaseException) -> str:
    """Traceback of an error and of those that it followed from, at most 4,000 characters, without any variable.

    It is written on the event loop, so it must cost well under a millisecond, whatever the error.
    """
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < ERRORS:
        parts.append(_describe_one(current))
        current = _cause(current)
    text = "\nwhich led to\n".join(reversed(parts))
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2 - 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def _cause(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _describe_one(error: BaseException) -> str:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    # Without lines of source: to read a file of ten thousand for one of them holds the event loop up for milliseconds.
    lines = [f'  File "{code.co_filename}", line {line}, in {code.co_qualname}' for code, line in frames[-FRAMES:]]
    if len(frames) > FRAMES:
        lines.insert(0, f"  … {len(frames) - FRAMES} calls before")
    return "\n".join(["Traceback (most recent call last):", *lines, f"{type(error).__qualname__}: {_words(error)}"])


def _words(error: BaseException) -> str:
    try:
        words = str(error)
    except Exception as broken:
        return f"no words, since those raise {type(broken).__qualname__}"
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"
