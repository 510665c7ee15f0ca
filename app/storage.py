"""Calls of the artifact store, in threads of their own: one that hangs takes none from the endpoints that need none."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from core.errors import Unavailable

THREADS = 8
LINE_S = 5.0
"""How long a request waits for one of them; what runs has the time limits of the store."""
RETRY_AFTER_S = 10

P = ParamSpec("P")
R = TypeVar("R")


class Storage:
    """For use in one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._free = asyncio.Semaphore(THREADS)

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns or raises.

        Raises:
            Unavailable: Others have waited for the store for so long that it seems to hang.
        """
        try:
            async with asyncio.timeout(LINE_S):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                f"the artifact store is slow: {THREADS} requests wait for it already", retry_after=RETRY_AFTER_S
            ) from None
        loop = asyncio.get_running_loop()

        def release(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._free.release)

        running = self._threads.submit(copy_context().run, partial(function, *args, **kwargs))
        running.add_done_callback(release)  # and not when nobody waits for it any more
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
