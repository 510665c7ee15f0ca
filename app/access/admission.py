"""Lets a request in, before its body is read, if it comes with a key that is known or needs none."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.caller import ANYONE, NOBODY, Caller, note_caller
from app.paths import inner_path
from app.problems import refused
from core.access.keys import find
from core.access.ring import KeyRing
from core.errors import FewstepError, Unauthorized, UnknownKey
from core.settings import Settings

OPEN = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/livez", "/readyz"})
"""What tells strangers nothing that is not in the source, and what load balancers ask. All else takes a key."""
CONSOLE = "/console/"
METRICS = "/metrics"


class Admission:
    """ASGI middleware that says who sends each request; where there is no file of keys, anyone.

    What is not known to be open takes a key, so that a new endpoint is closed until somebody thinks of it.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        """Read the keys.

        Raises:
            FewstepError: They cannot be read.
        """
        self.app = app
        self._ring = KeyRing(settings.api_keys_file) if settings.api_keys_file else None
        self._open = OPEN | {METRICS} if settings.open_metrics else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            try:
                note_caller(scope, ANYONE if self._ring is None else self._caller(scope, self._ring))
            except FewstepError as error:
                response = refused(Request(scope), error)
                response.headers["Connection"] = "close"  # whatever body there is, it is not worth reading
                return await response(scope, receive, send)
        await self.app(scope, receive, send)

    def _caller(self, scope: Scope, ring: KeyRing) -> Caller:
        path = inner_path(scope)
        is_open = path in self._open or path.startswith(CONSOLE)
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            if is_open:
                return NOBODY
            raise Unauthorized("this takes a key: `Authorization: Bearer KEY`", field="Authorization")
        scheme, _, secret = given[0].strip().partition(b" ")
        key = find(ring.keys(), secret.strip()) if len(given) == 1 and scheme.lower() == b"bearer" else None
        if key is not None:
            return Caller(key.name, key.scopes, key)
        if is_open:
            return NOBODY  # what needs no key is not refused for a bad one, such as that of a proxy's own login
        raise UnknownKey("there is no such key, or no more; `Authorization: Bearer KEY`", field="Authorization")
