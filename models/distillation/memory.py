"""What relational distillation remembers: pixels of earlier maps, and a head that is trained to look them up."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.training.companion import Companion

SIZE = 4096
"""Pixels remembered. The published code keeps 20,000 and reads these many of them, always the same ones."""
UPDATE = 26
"""Pixels renewed an iteration: the share of the memory that the published code renews by 128 of its 20,000."""
LEARNING_RATE = 5e-5
"""Of the head, constant, as published."""


class Memory(Companion):
    """A queue of unit vectors and the projection head, the same in every process.

    Attributes:
        queue: (size, C) float32, of length 1 each; noise at first.
        pointer: int64, where the next are written.
        head: 1x1 convolution, batch norm by the statistics of the batch, relu, 1x1 convolution, of C channels each.
        renewed: Queue and pointer as the last loss left them, which ``commit`` takes over.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(self, channels: int, *, seed: int, size: int = SIZE, learning_rate: float = LEARNING_RATE) -> None:
        """Drawn from the seed, on the CPU."""
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels, track_running_stats=False),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 1, bias=False),
            )
            self.register_buffer("queue", normalize(torch.randn(size, channels), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.optimizer = torch.optim.Adam(self.head.parameters(), lr=learning_rate)
        self.renewed: tuple[Tensor, Tensor] | None = None

    def renew(self, pixels: Tensor) -> Tensor:
        """The queue (size, C) with ``pixels`` (K, C) in place of its oldest; kept by ``commit``."""
        places = (self.pointer + torch.arange(len(pixels), device=pixels.device)) % len(self.queue)
        queue = self.queue.index_copy(0, places, pixels)
        self.renewed = queue, (self.pointer + len(pixels)) % len(queue)
        return queue

    def commit(self) -> None:
        """Remember what the last iteration brought."""
        if self.renewed is not None:
            self.queue.copy_(self.renewed[0])
            self.pointer.copy_(self.renewed[1])
            self.renewed = None
