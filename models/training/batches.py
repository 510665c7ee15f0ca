"""Training data in a device's memory, and the batches drawn from it."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.data.dataset import Dataset
from models.data.images import to_float


@dataclass(frozen=True)
class TrainingData:
    """A data set where it is used.

    Attributes:
        images: (N, H, W, C) uint8.
        flip: Whether mirrored images are images of the same kind.
        labels: (N,) int64, or None.
    """

    images: Tensor
    flip: bool
    labels: Tensor | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset, device: torch.device) -> "TrainingData":
        """All of a data set, on a device, or in host memory where it would take over half of what a GPU has free.

        Batches are drawn on the device either way.
        """
        if device.type == "cuda" and dataset.images.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            device = torch.device("cpu")
        labels = None if dataset.labels is None else torch.tensor(dataset.labels, device=device)
        return cls(torch.tensor(dataset.images, device=device), dataset.flip, labels)

    @classmethod
    def blank(
        cls, image_shape: tuple[int, int, int], device: torch.device, *, num_classes: int | None
    ) -> "TrainingData":
        """For methods that are shown no images: a black one of each class."""
        channels, height, width = image_shape
        labels = torch.arange(num_classes or 1, device=device)
        images = torch.zeros(len(labels), height, width, channels, dtype=torch.uint8, device=device)
        return cls(images, flip=False, labels=labels)

    def at(self, iteration: int) -> "TrainingData":  # noqa: ARG002
        """The same at every iteration."""
        return self


class DataSource(Protocol):
    """Whatever has images to train on."""

    def at(self, iteration: int) -> TrainingData:
        """Those of an iteration, the same whenever it is run."""
        ...


@dataclass(frozen=True)
class Batch:
    """Images of one iteration.

    Attributes:
        x: (B, C, H, W) float32 in [-1, 1].
        labels: (B,) int64, or None.
    """

    x: Tensor
    labels: Tensor | None = None


def draw_batch(data: TrainingData, *, batch_size: int, generator: torch.Generator) -> Batch:
    """Images drawn with replacement; where the data allow it, every other one, by chance, is mirrored.

    They are on the device of the generator.
    """
    device = generator.device
    index = torch.randint(len(data.images), (batch_size,), generator=generator, device=device)
    place = index.to(data.images.device)
    x = to_float(data.images[place].to(device))
    if data.flip:
        mirrored = torch.rand(batch_size, 1, 1, 1, generator=generator, device=device) < 0.5
        x = torch.where(mirrored, x.flip(3), x)
    return Batch(x, None if data.labels is None else data.labels[place].to(device))
