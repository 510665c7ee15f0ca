"""Another service: it notes what is posted to it, and answers as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """What it says, once its signature is right."""
        told: dict[str, Any] = Webhook(SECRET).verify(self.body, self.headers)
        return told


@dataclass
class Receiver:
    """What has come, and how it answers: statuses in turn, the last one from then on.

    Attributes:
        holds: Until it is set nothing is answered.
    """

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    holds: threading.Event = field(default_factory=threading.Event)
    received: list[Received] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1") -> str:
        """Its address."""
        return f"http://{host}:{self.port}/hook?of=mine"


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    """A receiver that answers with these statuses, on a port of this machine."""
    receiver = Receiver(statuses=list(statuses) or [204])
    receiver.holds.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append(Received(self.path, dict(self.headers), body))
            status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
            receiver.holds.wait(30)
            self.send_response(status)
            self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked may have gone
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.holds.set()
        server.shutdown()
        thread.join()
        server.server_close()
