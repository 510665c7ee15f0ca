"""``python -m app``: the API on the host and port of the settings."""

import asyncio
import socket
import sys
import time
from contextlib import suppress
from types import FrameType

import uvicorn

from app.health import draining
from app.jobs.events import stopping
from core import tracing
from core.errors import FewstepError
from core.log import configure_logging
from core.settings import get_settings_or_exit

LOOK_EVERY_S = 0.1


class Server(uvicorn.Server):
    """Goes in three steps: it is not ready, then accepts nothing more, then ends once all answers are sent."""

    def __init__(self, config: uvicorn.Config, *, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of SIGTERM or Ctrl-C."""
        draining.set()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests a little longer, each on its connection's last; a second Ctrl-C ends that at once."""
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        until = time.monotonic() + self._drain_s
        while time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(LOOK_EVERY_S)
        stopping.set()  # streams would go on for hours
        await super().shutdown(sockets)
        tracing.stop_tracing()  # the signal is raised again, and then ends the interpreter at once


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is open."""
    settings = get_settings_or_exit()
    configure_logging(settings)
    try:
        tracing.start_tracing(settings, "fewstep-api")
    except FewstepError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    server = Server(
        uvicorn.Config(
            "app.main:app",
            host=settings.host,
            port=settings.port,
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


if __name__ == "__main__":
    main()
