"""What may come in: headers and a body of limited size, in limited time, and JSON if there is a body at all."""

import asyncio
import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.paths import inner_path
from app.problems import problem_response
from core.errors import FewstepError, HeadersTooLarge, MalformedRequest, TooLarge, TooSlow, UnsupportedMediaType
from core.settings import Settings

UPLOAD = re.compile(r"/(datasets|classifiers)/[^/]+|/models/[^/]+/[^/]+")
"""Paths to which whole files are sent."""


class BodyGuard:
    """ASGI middleware that reads the whole body up to the limit before the application sees any of it.

    Bodies here are small, so reading first is simpler than failing midway, and a chunked one that never ends is cut
    off as early as one that says its length. What was announced and did not come is an error under any server.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            self._check_headers(scope)
            takes_files = UPLOAD.fullmatch(inner_path(scope)) is not None
            if takes_files and scope["method"] == "PUT":
                return await self._pass(scope, receive, send)
            body = await self._read(Headers(scope=scope), receive, any_type=takes_files)
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

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave the body to the application, which has limits of its own; what it does not read is not waited for."""
        whole = False

        async def receive_and_note() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or not message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and not whole:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receive_and_note, send_and_close)

    def _check_headers(self, scope: Scope) -> None:
        target = scope.get("raw_path") or scope["path"].encode()
        size = len(target) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > (most := self.settings.max_header_bytes):
            raise HeadersTooLarge(
                f"path, query and headers may have at most {most} bytes together", allowed={"maximum_bytes": most}
            )

    async def _read(self, headers: Headers, receive: Receive, *, any_type: bool) -> bytes | None:
        """The body, or ``None`` if the client left before it was complete."""
        declared = headers.get("content-length")
        if declared is not None and "transfer-encoding" in headers:
            raise MalformedRequest("Content-Length and Transfer-Encoding say the same thing; send one of them")
        length = int(declared) if declared is not None and declared.isdecimal() else None
        self._check_size(length or 0)
        try:
            async with asyncio.timeout(self.settings.body_timeout_s):
                body = await self._collect(receive)
        except TimeoutError:
            limit = f"{self.settings.body_timeout_s:g} seconds"
            raise TooSlow(f"the body was not complete within {limit}") from None
        if body is None:
            return None
        if length is not None and len(body) != length:
            raise MalformedRequest(f"Content-Length announces {length} bytes, and {len(body)} came")
        if not body and "upgrade" in headers and "transfer-encoding" in headers:
            # A server that takes offers of other protocols for granted would have passed it over in silence.
            raise MalformedRequest("a body was announced beside an offer to upgrade, and none came")
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and content_type != "application/json" and not any_type:
            raise UnsupportedMediaType(
                f"the body must be application/json, not {content_type or 'of no stated type'}",
                field="Content-Type",
                allowed=["application/json"],
            )
        return body

    async def _collect(self, receive: Receive) -> bytes | None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            self._check_size(len(body))
        return body

    def _check_size(self, size: int) -> None:
        if size > (most := self.settings.max_body_bytes):
            raise TooLarge(f"the body may have at most {most} bytes", allowed={"maximum_bytes": most})
