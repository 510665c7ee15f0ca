"""Walks on an NVIDIA GPU: one step is recorded for each batch size, and replayed as often as there are steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from models.data.images import Pictures, to_levels
from models.diffusion.ddim import Step, ddim_step
from models.sampling.host import current, refuse_lost
from models.sampling.layers import Shifts
from models.sampling.walker import Walker

_loading = RLock()


@contextmanager
def loading(device: torch.device) -> Iterator[None]:
    """As ``current``, and on a GPU one thread at a time: compiling and recording bear no other of their kind."""
    if device.type != "cuda":
        yield
        return
    with _loading, current(device):
        yield


class CapturedWalks:
    """``Walker.pictures`` by CUDA graphs: one launch a step instead of hundreds.

    Attributes:
        num_bytes: What graphs and their buffers take of the GPU.
        failed: Why sizes could not be recorded, by size; they run without.
    """

    def __init__(self, walker: Walker) -> None:
        """Nothing is recorded yet."""
        self._walker = walker
        self._recorded: dict[int, _Recorded] = {}
        self.num_bytes = 0
        self.failed: dict[int, str] = {}

    @torch.inference_mode()
    def record(self, size: int) -> None:
        """Record the step of batches of so many images; within ``loading``. A failure is remembered and no error."""
        before = torch.cuda.memory_reserved(self._walker.device)
        try:
            self._recorded[size] = _Recorded(self._walker, size)
        except torch.OutOfMemoryError as error:
            self.failed[size] = str(error)
        except RuntimeError as error:
            refuse_lost(self._walker.device)
            self.failed[size] = str(error)
        self.num_bytes += max(torch.cuda.memory_reserved(self._walker.device) - before, 0)

    def __call__(self, noise: Tensor, labels: Sequence[int], num_steps: int) -> Pictures:
        """As of ``Walker.pictures``."""
        recorded = self._recorded.get(len(noise))
        if recorded is None:
            return self._walker.pictures(noise, labels, num_steps)
        return recorded.replay(noise, self._walker.shifts(labels, num_steps), self._walker.steps(num_steps))


@cache
def _pool(index: int) -> tuple[Any, torch.cuda.Stream]:
    """The memory that all graphs of a GPU share, which run one at a time, and the stream that they are recorded on."""
    return torch.cuda.graph_pool_handle(), torch.cuda.Stream(device=index)


class _Recorded:
    """The step of a batch size; what goes in and comes out lies in buffers of its own, outside of the shared memory."""

    def __init__(self, walker: Walker, size: int) -> None:
        self._walker = walker
        noise = walker.example(size)
        self._z_t = noise.to(walker.device).contiguous(memory_format=torch.channels_last)
        self._x_hat = torch.empty_like(self._z_t)
        first = walker.steps(walker.fewest_steps)[0]
        self._shifts = [part.clone() for part in walker.shifts([0] * size, walker.fewest_steps)[0]]
        self._table = [value.clone() for value in _values(first)]
        self._pinned = torch.empty(noise.shape, pin_memory=True, memory_format=torch.channels_last)
        self._result = torch.empty((size, *noise.shape[2:], noise.shape[1]), dtype=torch.uint8, pin_memory=True)
        pool, side = _pool(torch.cuda.current_device())
        before = torch.cuda.current_stream()
        self._graph = torch.cuda.CUDAGraph()
        try:
            side.wait_stream(before)
            with torch.cuda.stream(side):  # kernels are chosen, which cannot be recorded
                for _ in range(3):
                    self._step()
            before.wait_stream(side)
            # Other threads go on meanwhile, with calls that would spoil a recording that minded them.
            with torch.cuda.graph(self._graph, pool=pool, stream=side, capture_error_mode="thread_local"):
                self._step()
        finally:
            torch.cuda.set_stream(before)  # which torch leaves as it is where a recording fails

    def _step(self) -> None:
        alpha_t, sigma_t, alpha_s, sigma_s = self._table
        x_hat = self._walker.predict_x(self._z_t, self._shifts, alpha_t=alpha_t, sigma_t=sigma_t).clamp(-1.0, 1.0)
        z_s = ddim_step(z_t=self._z_t, x_hat=x_hat, alpha_t=alpha_t, sigma_t=sigma_t, alpha_s=alpha_s, sigma_s=sigma_s)
        self._x_hat.copy_(x_hat)
        self._z_t.copy_(z_s)

    def replay(self, noise: Tensor, shifts: Sequence[Shifts], steps: Sequence[Step]) -> Pictures:
        self._pinned.copy_(noise)
        self._z_t.copy_(self._pinned, non_blocking=True)
        for given, step in zip(shifts, steps, strict=True):
            torch._foreach_copy_(self._shifts, list(given))
            torch._foreach_copy_(self._table, list(_values(step)))
            self._graph.replay()
        images = self._x_hat if self._walker.ends_with_x_hat else self._z_t.clamp(-1.0, 1.0)
        self._result.copy_(to_levels(images), non_blocking=True)
        torch.cuda.current_stream().synchronize()
        pictures: Pictures = self._result.numpy().copy()
        return pictures


def _values(step: Step) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return step.alpha_t, step.sigma_t, step.alpha_s, step.sigma_s
