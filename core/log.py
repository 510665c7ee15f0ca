"""One shape for every log line, whoever writes it: ours, uvicorn's or Celery's."""

import logging
import os
import sys
from typing import TYPE_CHECKING

import structlog

from core.settings import Settings
from core.tracebacks import add_traceback

if TYPE_CHECKING:
    from structlog.typing import Processor

# A line for each message received and each task succeeded says nothing that ours do not.
CHATTY = ("celery.worker.strategy", "celery.app.trace", "kombu", "asgi_correlation_id")


def configure_logging(settings: Settings) -> None:
    """Send the standard library's and structlog's lines to stderr, as JSON lines or for people.

    What is bound with ``structlog.contextvars`` (``request_id``) is on each line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, add_traceback, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger with the name of its module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
