"""Each request leaves its measures and a log line; an error that nobody foresaw becomes a problem document."""

import time
from contextlib import AbstractContextManager, nullcontext

import structlog
from asgi_correlation_id import correlation_id
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.caller import caller_of
from app.metrics import IN_FLIGHT, REJECTIONS, REQUEST_SECONDS, REQUESTS_BY_KEY, RESPONSE_BYTES
from app.paths import METHODS, inner_path
from app.problems import CLIENT_CLOSED_REQUEST, internal_problem
from app.system.recent import recent
from core import tracing
from core.log import get_logger

QUIET = frozenset({"/livez", "/readyz", "/metrics"})

log = get_logger(__name__)


class Observe:
    """ASGI middleware around the application, within the one that sets the correlation id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        status = images = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status, images
            if message["type"] == "http.response.start":
                status = message["status"]
                images = int(Headers(raw=message["headers"]).get("fewstep-images", 0))
            elif message["type"] == "http.response.body":
                RESPONSE_BYTES.labels(_route(scope)).inc(len(message.get("body", b"")))
            await send(message)

        if counts := inner_path(scope) not in QUIET:
            IN_FLIGHT.inc()

        with structlog.contextvars.bound_contextvars(request_id=correlation_id.get()), _span(scope):
            try:
                await self.app(scope, receive, send_and_note)
            except Exception:
                log.exception("unexpected error", method=scope["method"], path=scope["path"])
                if not status:
                    await internal_problem(Request(scope))(scope, receive, send_and_note)
            finally:
                if counts:
                    IN_FLIGHT.dec()
                seconds = time.perf_counter() - started
                if images:
                    recent.note(images=images, seconds=seconds if scope["method"] == "POST" else None)
                _note(scope, status, seconds)


def _span(scope: Scope) -> AbstractContextManager[None]:
    # Its name is that of the route, once it is known.
    if inner_path(scope) in QUIET:
        return nullcontext()
    parent = Headers(scope=scope).get("traceparent", "")
    return tracing.span("HTTP", parent=parent, kind="SERVER", request_id=correlation_id.get() or "")


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    # Only known methods and templates become labels, so that clients cannot make up new series.
    method = scope["method"] if scope["method"] in METHODS else "other"
    tracing.describe(f"{method} {route}", failed=status >= 500, status=status)
    REQUEST_SECONDS.labels(method, route, str(status)).observe(seconds)
    if status in (0, CLIENT_CLOSED_REQUEST):  # 0: it left before its request was complete
        REJECTIONS.labels("client_left").inc()
    line = log.debug if route in QUIET else log.info
    facts = {"client": (scope.get("client") or ("",))[0]}
    caller = caller_of(scope)
    if caller is not None and caller.name:
        REQUESTS_BY_KEY.labels(caller.name).inc()
        facts["key"] = caller.name
    line("request", method=method, path=scope["path"], status=status, seconds=round(seconds, 4), **facts)


def _route(scope: Scope) -> str:
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path
