"""``python -m app``: the API on the host and port of the settings."""

import uvicorn

from core.log import configure_logging
from core.settings import get_settings


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is open."""
    settings = get_settings()
    configure_logging(settings)
    uvicorn.run(
        "app.main:app",
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.deadline_s),
    )


if __name__ == "__main__":
    main()
