"""How the API learns that it is to end, under whatever server."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

draining = threading.Event()
"""Set when this process is to end: requests that come are still answered, but others had better have them."""
stopping = threading.Event()
"""Set when streams are to end too, which would go on for hours; their clients come again to another."""


@contextmanager
def noticing_signals(drain_s: float) -> Iterator[None]:
    """Take note of SIGTERM and Ctrl-C before the server does, which waits for its streams and tells them nothing.

    For the event loop of the main thread; elsewhere no signal arrives, and nothing is noted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    found = {int(sign): signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)}
    servers = {sign: server for sign, server in found.items() if callable(server)}  # others end the process at once

    def note(sign: int, frame: FrameType | None) -> None:
        draining.set()
        loop.call_soon_threadsafe(loop.call_later, drain_s, stopping.set)
        servers[sign](sign, frame)

    for sign in servers:
        signal.signal(sign, note)
    try:
        yield
    finally:
        for sign, server in servers.items():
            signal.signal(sign, server)
