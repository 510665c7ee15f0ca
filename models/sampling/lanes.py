"""The cores of a CPU: parts of a batch are sampled side by side, each by a thread that has one core for itself.

Where all threads of a process share every operator of a network, they meet hundreds of times a batch, and whichever is
off its core holds the others up: beside one other busy process a large network took seven times as long. Threads with a
part each meet once, at its end. Only a single image of a large network is left to several, where nobody else wants the
cores.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import TypeVar

import psutil
import torch

LOOK_EVERY_S = 0.2

Part = TypeVar("Part")
Outcome = TypeVar("Outcome")


@cache
def cores() -> int:
    """Threads that torch has been given, by default one a core; what is set after the first call changes nothing."""
    return torch.get_num_threads()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Lets the operators of this thread take so many."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(function: Callable[[Part], Outcome], parts: Sequence[Part]) -> list[Outcome]:
    """What a function gives for each part, each computed by one thread of torch; at most ``cores()`` at once."""
    return [future.result() for future in [_lanes().submit(function, part) for part in parts]]


@cache
def _lanes() -> ThreadPoolExecutor:
    count = cores()
    pool = ThreadPoolExecutor(count, thread_name_prefix="lane")
    all_there = Barrier(count)

    def take_one_core() -> None:
        torch.get_num_threads()  # else the first operator would put the process's number in place of this
        torch.set_num_threads(1)
        all_there.wait()

    for started in [pool.submit(take_one_core) for _ in range(count)]:
        started.result()
    torch.set_num_threads(count)  # for threads to come, which else would have one
    return pool


class FreeCores:
    """How many cores other processes leave to this one. Not thread-safe."""

    def __init__(self) -> None:
        self._before = _spent()
        self._cores = float(cores())

    def __call__(self) -> int:
        """At least 1 and at most ``cores()``, as of the latest fifth of a second or more."""
        seconds = time.monotonic() - self._before[0]
        if seconds >= LOOK_EVERY_S:
            now, of_all, own = _spent()
            others = (of_all - self._before[1]) - (own - self._before[2])
            self._cores = (psutil.cpu_count() or cores()) - others / seconds
            self._before = now, of_all, own
        return min(max(round(self._cores), 1), cores())


def _spent() -> tuple[float, float, float]:
    """The time, and seconds of cores that all processes and this one have had."""
    times = psutil.cpu_times()
    return time.monotonic(), times.user + times.system + getattr(times, "nice", 0.0), time.process_time()
