"""Errors below ``/v1`` in OpenAI's shape, whoever makes them."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.generate.examples import Responses
from app.paths import inner_path
from app.problems import PROBLEM

PREFIX = "/v1"
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
"""Those that their clients know, by status; others are what the problem is called."""
_ELSEWHERE = frozenset({"type", "title", "status", "detail", "instance", "request_id", "field"})
"""Members of a problem that OpenAI's shape, the status line or a header has."""
_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "server_error"]},
                "param": {"type": ["string", "null"], "description": "The field at fault"},
                "code": {"type": ["string", "null"]},
                "allowed": {"description": "What the field may be"},
            },
        }
    },
}


class InTheirShape:
    """ASGI middleware around all that answers with a problem document: below ``/v1`` it is written as OpenAI does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http" or not inner_path(scope).startswith(f"{PREFIX}/"):
            return await self.app(scope, receive, send)
        begun: Message | None = None
        body = b""

        async def translate(message: Message) -> None:
            nonlocal begun, body
            if message["type"] == "http.response.start" and _is_problem(message):
                begun = message
            elif begun is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    await _answer(begun, json.loads(body))(scope, receive, send)

        return await self.app(scope, receive, translate)


def error_of(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem document as OpenAI writes errors; what has no place there, as ``allowed``, stands beside."""
    status, field = int(problem["status"]), problem.get("field")
    code = _CODES.get(status, problem["type"].rpartition(":")[2].replace("-", "_"))
    if status == HTTPStatus.NOT_FOUND and field == "model":
        code = "model_not_found"
    error = {
        "message": problem["detail"],
        "type": "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error",
        "param": field,
        "code": None if code == "blank" else code,  # of `about:blank`: the status says it all
    }
    return {"error": error | {name: value for name, value in problem.items() if name not in _ELSEWHERE}}


def in_their_shape(responses: Responses) -> Responses:
    """The documentation of errors, as they are below ``/v1``."""
    return {
        status: {
            "description": one["description"],
            "content": {
                "application/json": {"schema": _SCHEMA, "example": error_of(one["content"][PROBLEM]["example"])}
            },
        }
        for status, one in responses.items()
    }


def _is_problem(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type") == PROBLEM


def _answer(begun: Message, problem: Mapping[str, Any]) -> JSONResponse:
    """With every header but those of the body."""
    kept = {name: value for name, value in Headers(raw=begun["headers"]).items() if not name.startswith("content-")}
    return JSONResponse(error_of(problem), begun["status"], kept)
