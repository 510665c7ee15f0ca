"""``python -m app``: the API on the host and port of the settings."""

import sys
from contextlib import suppress
from types import FrameType

import uvicorn

from app.job_events import stopping
from core.log import configure_logging
from core.settings import get_settings


class Server(uvicorn.Server):
    """Ends streams that would go on for hours before it waits for all answers to be sent."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of SIGTERM or Ctrl-C."""
        stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is open."""
    settings = get_settings()
    configure_logging(settings)
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
        )
    )
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
