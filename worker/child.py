"""A process that does one thing at a time for its parent, and whose end is an event and not a catastrophe.

Training runs in one: when it ends it gives back all memory of a device, when it crashes the worker lives to tell, and
when it hangs it can be killed. It is kept from one slice to the next, so that nothing is compiled or loaded twice.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

from core.machine.garbage import importing

_SPAWN = get_context("spawn")  # CUDA cannot be used after a fork
_LOOK_EVERY_S = 1.0


class ChildDied(Exception):  # noqa: N818 (what happened)
    """The process ended without an answer; the text says how."""


class Child:
    """Runs ``make(*arguments, is_draining, tell)`` in a process of its own, and there calls what it gives each time.

    What it tells before it answers is handed to ``on_message`` here. Not for use by two threads at once.
    """

    def __init__(
        self,
        make: Callable[..., Callable[..., Any]],
        *arguments: Any,  # noqa: ANN401
        on_message: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._make, self._arguments, self._on_message = make, arguments, on_message
        # A pipe that is closed to tell, as an event would need shared memory, which not every container has.
        self._draining, self._hold = _SPAWN.Pipe(duplex=False)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def call(self, *request: Any, is_hung: Callable[[], bool]) -> Any:  # noqa: ANN401
        """The answer to a request; starts the process if need be.

        Raises:
            ChildDied: It ended, or was killed since ``is_hung``, which is asked at least each second, said so.
        """
        connection, process = self._start()
        try:
            connection.send(request)
            while True:
                if connection.poll(_LOOK_EVERY_S):
                    is_answer, content = connection.recv()
                    if is_answer:
                        return content
                    self._on_message(content)
                elif not process.is_alive() and not connection.poll(0):
                    raise EOFError
                if is_hung():
                    process.kill()
                    process.join(10)  # or the next request would go to the dead
                    raise ChildDied("its process hung and was killed")
        except (EOFError, OSError):
            process.join(10)
            raise ChildDied(_describe_end(process.exitcode)) from None
        finally:
            if not process.is_alive():
                self.close()

    @property
    def pids(self) -> list[int]:
        """Of the process, while it is there."""
        process = self._process
        return [] if process is None or process.pid is None else [process.pid]

    def drain(self) -> None:
        """Ask it to come to an end of what it does; safe to call in a signal handler."""
        self._hold.close()

    def close(self) -> None:
        """End the process, which is doing nothing."""
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.join(10)
            if self._process.is_alive():
                self._process.kill()
            self._connection = self._process = None

    def _start(self) -> tuple[Connection, BaseProcess]:
        if self._connection is None or self._process is None:
            self._connection, theirs = _SPAWN.Pipe()
            arguments = (theirs, self._draining, self._make, self._arguments)
            self._process = _SPAWN.Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
        return self._connection, self._process


def _serve(
    connection: Connection,
    draining: Connection,
    make: Callable[..., Callable[..., Any]],
    arguments: Any,  # noqa: ANN401
) -> None:
    # It is told to stop by its parent, whatever else a terminal or a supervisor sends to the group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    os.nice(10)  # sampling goes first
    with suppress(OSError):  # and last where memory runs out: of all processes the kernel is to end this one
        Path("/proc/self/oom_score_adj").write_text("1000")

    def tell(message: Any) -> None:  # noqa: ANN401
        with suppress(OSError):  # its parent is gone, and this process is about to end
            connection.send((False, message))

    with importing():
        call = make(*arguments, draining.poll, tell)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            os._exit(0)  # it has nothing in hand, and to take torch apart would last half a second
        connection.send((True, call(*request)))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _describe_end(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {exitcode}"
