"""Paths as clients see them: below the prefix under which a proxy shows the API, if there is one."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Rooted:
    """ASGI middleware around all others, after which ``path`` begins with ``root_path``, as ASGI has it.

    Whether the proxy takes the prefix off makes no difference, nor whether the server or a setting names it.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            said: str = scope.get("root_path", "")
            root = (self.root_path or said).rstrip("/")
            inner = scope["path"].removeprefix(said)
            inner = re.sub("^https?://[^/]*", "", inner) or "/"  # an address in full is allowed as well
            below = inner if inner == root or inner.startswith(f"{root}/") else root + inner
            scope = {**scope, "root_path": root, "path": below}
        await self.app(scope, receive, send)


async def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


Root = Annotated[str, Depends(_root)]
"""What paths in an answer begin with; mostly nothing."""


def inner_path(scope: Scope) -> str:
    """The path without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def allowed_methods(request: Request) -> list[str]:
    """Every method that the path has, whichever route has it."""
    return [method for method in METHODS if _matches(request, request.url.path, method)]


def without_slash(request: Request) -> str | None:
    """Where to go instead, if there is something at the path without the slash at its end: a path, and no host.

    What the client called the host, and whether it spoke TLS, is for the proxy to know.
    """
    path = request.scope["path"].rstrip("/")
    if not request.scope["path"].endswith("/") or not any(_matches(request, path, method) for method in METHODS):
        return None
    query = request.url.query
    return quote(path) + (f"?{query}" if query else "")


def _matches(request: Request, path: str, method: str) -> bool:
    scope = {"type": "http", "method": method, "path": path, "root_path": request.scope.get("root_path", "")}
    scope |= {"path_params": {}, "headers": [], "query_string": b""}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
