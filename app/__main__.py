"""``python -m app``: the API on the host and port of the settings."""

import signal

from core.machine.garbage import importing
from core.machine.signals import end_at_once


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is open."""
    end_at_once(signal.SIGTERM)
    with importing():
        from app.server import serve  # takes a second

    serve()


if __name__ == "__main__":
    main()
