"""One run in several processes: ``torchrun --nproc-per-node=K`` starts K of them, each on its share of every batch.

Every process holds the whole network and does the same with it. They differ in the rows of the batch that they see, and
the first alone writes files. Without torchrun there is one process, and every function here is the identity.
"""

import atexit
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.errors import InvalidRequest
from models.training.batches import Batch


def join_processes() -> None:
    """Meet the other processes that torchrun started, if it did; a second call does nothing."""
    if not dist.is_available() or not dist.is_torchelastic_launched() or dist.is_initialized():
        return
    local = int(os.environ["LOCAL_RANK"])
    if local < torch.cuda.device_count():  # more processes than GPUs train on the CPU
        torch.cuda.set_device(local)  # or all would send from the first
    # What stays on the CPU, such as a wish to stop, goes by gloo and does not wait for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    # Not sooner: a process that leaves and meets the others anew can find the addresses that they had before.
    atexit.register(dist.destroy_process_group)


def refuse_processes(reason: str) -> None:
    """Raise ``InvalidRequest`` where torchrun started several processes for what must be done by one."""
    if dist.is_available() and dist.is_torchelastic_launched() and os.environ["WORLD_SIZE"] != "1":
        raise InvalidRequest(f"this runs in one process only: {reason}")


def num_processes() -> int:
    """Processes that share each batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Which of them this is, from 0; the first writes the files."""
    return dist.get_rank() if num_processes() > 1 else 0


def refuse_uneven(batch_size: int) -> None:
    """Raise ``InvalidRequest`` where the processes cannot share a batch evenly."""
    if batch_size % num_processes():
        raise InvalidRequest(
            f"{num_processes()} processes cannot share {batch_size} images evenly; "
            f"it must be a multiple of {num_processes()}",
            field="batch-size",
        )


def own_rows(batch: Tensor) -> Tensor:
    """This process's share of what was made for the whole batch, (K * B, ...) to (B, ...)."""
    return batch.chunk(num_processes())[process_index()]


def own_batch(batch: Batch) -> Batch:
    """This process's share of a batch."""
    return Batch(own_rows(batch.x), None if batch.labels is None else own_rows(batch.labels))


@dataclass(frozen=True)
class Draws:
    """The randomness of one iteration: drawn for the whole batch, of which each process keeps its own rows.

    So what an image meets with depends on its place in the batch and not on the number of processes.

    Attributes:
        generator: In the same state in all processes; its device is that of what is drawn.
    """

    generator: torch.Generator

    def randint(self, low: int, high: int, size: tuple[int, ...]) -> Tensor:
        """Integers in ``low`` … ``high - 1``, int64, of ``size``, which is that of this process's share."""
        drawn = torch.randint(low, high, _whole(size), generator=self.generator, device=self.generator.device)
        return own_rows(drawn)

    def randn(self, size: tuple[int, ...]) -> Tensor:
        """Standard normal float32 of ``size``, which is that of this process's share."""
        return own_rows(torch.randn(_whole(size), generator=self.generator, device=self.generator.device))

    def pick(self, rows: Tensor, count: int) -> Tensor:
        """So many of the rows of the whole batch, or all if they are fewer, the same in every process."""
        order = torch.randperm(len(rows), generator=self.generator, device=self.generator.device)
        return rows[order[:count]]


def _whole(size: tuple[int, ...]) -> tuple[int, ...]:
    return (size[0] * num_processes(), *size[1:])


class _Gather(torch.autograd.Function):
    """Concatenate the rows of all processes.

    Each goes on to compute the same loss from all rows. The gradient of a row is the sum over processes of the
    gradients of their losses with respect to it, as for any value that is used several times.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401, ARG004 (torch's signature)
        parts = [torch.empty_like(rows) for _ in range(num_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return own_rows(total)


def gather_rows(rows: Tensor) -> Tensor:
    """(B, ...) of each process to (K * B, ...) of all; gradients flow back to where a row came from."""
    if num_processes() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def average(tensors: list[Tensor]) -> None:
    """Replace tensors of one dtype by their means over processes, bit for bit the same in each, in one message."""
    if num_processes() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= num_processes()
    means = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [mean.view(tensor.shape) for tensor, mean in zip(tensors, means, strict=True)])


def any_process(wish: bool) -> bool:
    """Whether any process wishes so; all learn the same, and none before all have asked."""
    if num_processes() == 1:
        return wish
    wishes = torch.tensor(wish, dtype=torch.uint8)
    dist.all_reduce(wishes, dist.ReduceOp.MAX)
    return bool(wishes)
