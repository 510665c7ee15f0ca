"""uvicorn as the API runs it: its protocol on h11 with limits of time, and an end in steps."""

import asyncio
import json
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.ending import stopping
from app.metrics import REJECTIONS
from app.problems import PROBLEM, reason_of
from core import tracing
from core.access.listening import check_access
from core.errors import FewstepError
from core.log import configure_logging
from core.settings import get_settings, get_settings_or_exit

LOOK_EVERY_S = 0.1

MOST_SAID = 300
"""Characters of what is said of a request that cannot be read, which may quote it."""


class Protocol(H11Protocol):
    """One connection. Headers must be complete in time, from its first moment or the first byte of a later request.

    On h11, since uvicorn's other protocol drops the body of a request that offers an upgrade. What cannot be read is
    answered with a problem document, without what only a request that was read has (``instance``, ``request_id``).
    """

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
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            body = [] if is_head else [h11.Data(data=content)]
            for event in (response, *body, h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what the application may have begun to answer meanwhile
            self.cycle.message_event.set()
        self.transport.close()


class Server(uvicorn.Server):
    """Goes in three steps: it is not ready, then accepts nothing more, then ends once all answers are sent."""

    def __init__(self, config: uvicorn.Config, *, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests a little longer, each on its connection's last; a second Ctrl-C ends that at once."""
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        until = time.monotonic() + self._drain_s
        while time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(LOOK_EVERY_S)
        stopping.set()
        await super().shutdown(sockets)
        tracing.stop_tracing()  # the signal is raised again, and then ends the interpreter at once


def serve() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is open."""
    settings = get_settings_or_exit()
    configure_logging(settings)
    try:
        check_access(settings)
        tracing.start_tracing(settings, "fewstep-api")
    except FewstepError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    server = Server(
        uvicorn.Config(
            "app.main:app",
            host=settings.host,
            port=settings.port,
            http=Protocol,
            ws="none",
            h11_max_incomplete_event_size=settings.max_header_bytes,
            forwarded_allow_ips=settings.trusted_proxies,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.deadline_s),
            # Longer than clients and proxies keep an idle connection: who closes last never meets a request on its way.
            timeout_keep_alive=75,
        ),
        drain_s=settings.drain_s,
    )
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)
