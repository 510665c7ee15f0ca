"""What may come in: a body of limited size, and JSON if there is one at all."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem_response
from core.errors import FewstepError, TooLarge, UnsupportedMediaType


class BodyGuard:
    """ASGI middleware that reads the whole body up to the limit before the application sees any of it.

    Bodies here are small, so reading first is simpler than failing midway, and a chunked one that never ends is cut
    off as early as one that says its length.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            body = await self._read(Headers(scope=scope), receive)
        except FewstepError as error:
            response = problem_response(error.problem(), Request(scope))
            response.headers["Connection"] = "close"  # the rest of the body is not worth reading
            return await response(scope, receive, send)
        if body is None:
            return None
        replayed: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return replayed.pop() if replayed else await receive()

        return await self.app(scope, receive_again, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body, or ``None`` if the client left before it was complete."""
        declared = headers.get("content-length", "0")
        self._check_size(int(declared) if declared.isdigit() else 0)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            self._check_size(len(body))
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and content_type != "application/json":
            raise UnsupportedMediaType(
                f"the body must be application/json, not {content_type or 'of no stated type'}",
                field="Content-Type",
                allowed=["application/json"],
            )
        return body

    def _check_size(self, size: int) -> None:
        if size > self.max_body_bytes:
            raise TooLarge(
                f"the body may have at most {self.max_body_bytes} bytes", allowed={"maximum_bytes": self.max_body_bytes}
            )
