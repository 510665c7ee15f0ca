"""Walks on an NVIDIA GPU, recorded once for each batch size and number of steps, then replayed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.data.images import Pictures, to_levels
from models.sampling.lean import Shifts
from models.sampling.walker import Walker


class CapturedWalks:
    """``Walker.pictures`` by CUDA graphs: one launch a batch instead of hundreds."""

    def __init__(self, walker: Walker) -> None:
        """Nothing is recorded before its first use."""
        self._walker = walker
        self._recorded: dict[tuple[int, int], _Recorded] = {}

    def __call__(self, noise: Tensor, labels: Sequence[int], num_steps: int) -> Pictures:
        """As of ``Walker.pictures``."""
        shifts = self._walker.shifts(labels, num_steps)
        key = (len(noise), num_steps)
        if key not in self._recorded:
            self._recorded[key] = _Recorded(self._walker, noise, shifts, num_steps)
        return self._recorded[key].replay(noise, shifts)


class _Recorded:
    def __init__(self, walker: Walker, noise: Tensor, shifts: Sequence[Shifts], num_steps: int) -> None:
        self._noise = noise.to(walker.device)
        self._shifts = [[part.clone() for part in step] for step in shifts]
        self._pinned = torch.empty(noise.shape, pin_memory=True)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # kernels are chosen, which cannot be recorded
            for _ in range(3):
                walker.walk(self._noise, self._shifts, num_steps)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._levels = to_levels(walker.walk(self._noise, self._shifts, num_steps))
        self._result = torch.empty(self._levels.shape, dtype=torch.uint8, pin_memory=True)

    def replay(self, noise: Tensor, shifts: Sequence[Shifts]) -> Pictures:
        self._pinned.copy_(noise)
        self._noise.copy_(self._pinned, non_blocking=True)
        for kept, given in zip(self._shifts, shifts, strict=True):
            torch._foreach_copy_(kept, list(given))
        self._graph.replay()
        self._result.copy_(self._levels, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        pictures: Pictures = self._result.numpy().copy()
        return pictures
