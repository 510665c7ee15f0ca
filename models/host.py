"""What a process that samples on a CPU asks of its host."""

import ctypes
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = 2**30


def keep_memory() -> None:
    """Let glibc keep what is freed, instead of giving it to the kernel and taking it back in every layer.

    Page faults were a tenth of the time of a large network, and a sixth in a thread that is not the main one: its own
    arena is given back whatever the thresholds say, so all threads share one. What is kept is bounded by what a batch
    needs. Elsewhere than on glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_THRESHOLD, _KEEP)
            mallopt(_M_TRIM_THRESHOLD, _KEEP)
            mallopt(_M_ARENA_MAX, 1)
