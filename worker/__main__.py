"""``python -m worker sampling``, ``distillation`` or ``webhooks``: one worker process on one queue."""

import signal
import sys

from core.machine.garbage import importing
from core.machine.signals import end_at_once


def main() -> int:
    """Run the worker that the command line names."""
    end_at_once(signal.SIGTERM, signal.SIGINT)
    with importing():
        from worker.process import main as run  # takes a second, and loading a model many

    return run()


if __name__ == "__main__":
    sys.exit(main())
