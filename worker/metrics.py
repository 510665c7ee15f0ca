"""What both workers measure, and the port that serves it; each worker is one process with one registry."""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import Counter
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from core.errors import FewstepError

REDELIVERIES = Counter(
    "fewstep_redeliveries_total", "Work queued again since its worker vanished or its message was lost", ["queue"]
)
MESSAGES_DROPPED = Counter(
    "fewstep_messages_dropped_total", "What lay in a queue of the broker and was no message of ours", ["queue"]
)


def serve_metrics(port: int, is_well: Callable[[], bool]) -> None:
    """Serve ``/metrics`` on ``port``, and ``/healthz``: 200 while ``is_well``, else 503. Port 0 serves nothing.

    Raises:
        FewstepError: The port is in use.
    """
    if not port:
        return
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        status, words = ("200 OK", b"well\n") if is_well() else ("503 Service Unavailable", b"no recent heartbeat\n")
        start_response(status, [("Content-Type", "text/plain")])
        return [words]

    try:
        server = make_server("0.0.0.0", port, serve, ThreadingWSGIServer, handler_class=_Silent)  # noqa: S104
    except OSError as error:
        raise FewstepError(f"metrics port {port}: {error.strerror}; set another, or 0 for none") from error
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is nothing to log."""
