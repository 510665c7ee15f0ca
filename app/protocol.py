"""HTTP/1.1 as the API speaks it: uvicorn's protocol on h11, with a time limit for headers and errors as documents.

The h11 one, since the faster one drops the body of a request that offers another protocol (``Upgrade: h2c``).
"""

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.metrics import REJECTIONS
from app.problems import PROBLEM, reason_of
from core.settings import get_settings

MOST_SAID = 300
"""Characters of what is said of a request that cannot be read, which may quote it."""


class Protocol(H11Protocol):
    """One connection. Headers must be complete in time, from its first moment or the first byte of a later request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._timeout_s = get_settings().header_timeout_s
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(self._timeout_s, self._end_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Whatever has come; what is left then, between two requests, is the beginning of headers."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._late is None and self.conn.trailing_data[0] and not self.transport.is_closing():
            self._late = self.loop.call_later(self._timeout_s, self._end_late)

    def send_400_response(self, msg: str) -> None:
        """Say what cannot be read, and close; an answer that has begun already is cut off."""
        error = sys.exception()
        too_long = getattr(error, "error_status_hint", None) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_long else HTTPStatus.BAD_REQUEST
        self._refuse(status, f"{msg} {error}"[:MOST_SAID].strip())

    def _unsupported_upgrade_warning(self) -> None:
        """Who offers another protocol is answered in this one."""

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end_late(self) -> None:
        self._late = None
        if self.conn.trailing_data[0]:
            detail = f"the headers were not complete within {self._timeout_s:g} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        REJECTIONS.labels(reason_of(status)).inc()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            problem = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
            content = json.dumps(problem).encode()
            headers = [("Content-Type", PROBLEM), ("Content-Length", str(len(content))), ("Connection", "close")]
            response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
            for event in (response, h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
