"""Training images without a data set: sampled from the teacher, kept on disk, and replaced bit by bit.

A teacher and a seed define an endless series of blocks of images. A run trains on a window of it that moves on by one
block every so many iterations. So what is trained on at an iteration depends on nothing but its number, whether blocks
are sampled or read, in a run that goes on or in one that was never cut off.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.catalog.card import Card
from core.errors import FewstepError, InvalidRequest
from models.checkpoints.files import cache_folder, in_place_of
from models.data.images import Pictures, to_uint8
from models.data.sources import SYNTHETIC
from models.diffusion.ddim import ddim_sample
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import rows_of
from models.training.batches import TrainingData
from models.training.progress import StopTraining, progress_bar

BLOCK = 64
"""Images sampled at once. Always as many: kernels round differently at other sizes, and a block must never change."""

MOST_STEPS = 64  # by default; DDIM gains little beyond
_FORMAT = 1  # raised whenever the same teacher and seed give other images than before


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """How many images a teacher makes, and how well.

    Attributes:
        images: In memory at a time, rounded up to whole blocks of 64.
        steps: Sampling steps, a divisor of the teacher's; None for the largest up to 64.
        refresh: Iterations until the oldest block is replaced by a new one; 0 for never.
    """

    images: int = 4096
    steps: int | None = None
    refresh: int = 50


def synthetic_config(data: str | None, given: Mapping[str, int]) -> SyntheticConfig | None:
    """The configuration that a user's options stand for, or None where they name a data set.

    Args:
        data: The source that was asked for.
        given: Fields of ``SyntheticConfig`` in place of the defaults.

    Raises:
        InvalidRequest: There are options and the source is another.
    """
    if data == SYNTHETIC:
        return SyntheticConfig(**given)
    if given:
        raise InvalidRequest(f"it belongs to --data {SYNTHETIC}", field=f"synthetic-{next(iter(given))}")
    return None


class SyntheticData:
    """Images of a teacher, as data to train its students on.

    Attributes:
        steps: In which the teacher is sampled.
        config: As given.
    """

    def __init__(self, teacher: Denoiser, *, card: Card, config: SyntheticConfig, seed: int) -> None:
        """Sample nothing yet.

        Args:
            teacher: On the device to sample on and to train on, in evaluation mode.
            card: The teacher's.
            config: How many, how well.
            seed: Of the noise that the images are made from.

        Raises:
            InvalidRequest: The teacher cannot be sampled in so many steps.
        """
        self.config = config
        self.steps = config.steps or card.steps_up_to(MOST_STEPS)
        try:
            self._rows = rows_of(card, self.steps)
        except ValueError as error:
            raise InvalidRequest(str(error), field="synthetic-steps") from error
        self._teacher, self._card, self._seed = teacher, card, seed
        self._device = teacher.schedule.alpha.device
        self._count = math.ceil(config.images / BLOCK)
        facts = [_FORMAT, card.model_dump(mode="json"), self._rows, seed, self._device.type]
        self._folder = cache_folder() / SYNTHETIC / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        channels, height, width = card.image_shape
        self._shape = (BLOCK, height, width, channels)
        self._images = torch.empty((self._count * BLOCK, *self._shape[1:]), dtype=torch.uint8, device=self._device)
        self._labels = torch.empty(len(self._images), dtype=torch.int64, device=self._device)
        self._held: list[int | None] = [None] * self._count

    def at(self, iteration: int) -> TrainingData:
        """The window at an iteration; what an earlier call gave is overwritten.

        Raises:
            FewstepError: The images cannot be kept.
        """
        first = iteration // self.config.refresh if self.config.refresh else 0
        for index in range(first, first + self._count):
            slot = index % self._count
            if self._held[slot] != index:
                block = torch.from_numpy(self._block(index))
                self._images[slot * BLOCK : (slot + 1) * BLOCK] = block.to(self._device)
                self._labels[slot * BLOCK : (slot + 1) * BLOCK] = self._block_labels(index)
                self._held[slot] = index
        # Whatever the data set of the teacher allowed, it has learned.
        return TrainingData(self._images, flip=False, labels=self._labels)

    @property
    def facts(self) -> dict[str, object]:
        """For the cards of the students."""
        return {
            "synthetic_teacher_sha256": self._card.sha256,
            "synthetic_steps": self.steps,
            "synthetic_images": len(self._images),
            "synthetic_refresh": self.config.refresh,
        }

    def fill(self, between_blocks: Callable[[], None] = lambda: None) -> None:
        """Sample the first window, showing a terminal how far it is; what was sampled before is not made again.

        Args:
            between_blocks: Called after each block; may raise to give up.

        Raises:
            StopTraining: Stopped by Ctrl-C; what is done is kept.
            FewstepError: The images cannot be kept.
        """
        missing = [index for index in range(self._count) if not self._path(index).exists()]
        if not missing:
            return
        total = self._count * BLOCK
        done = total - len(missing) * BLOCK
        with progress_bar(desc="images of the teacher", total=total, initial=done, unit="img") as bar:
            try:
                for index in missing:
                    self._block(index)
                    done += BLOCK
                    bar.update(BLOCK)
                    between_blocks()
            except KeyboardInterrupt:
                raise StopTraining(
                    f"stopped with {done} of {total} images sampled; the same command goes on from there"
                ) from None

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06}.npz"

    def _block(self, index: int) -> Pictures:
        """(64, H, W, C) images, from disk where they are there and whole."""
        path = self._path(index)
        try:
            with path.open("rb") as file:
                images: Pictures = np.load(file)["images"]  # a .npz is checked against a checksum on reading
            if images.shape == self._shape and images.dtype == np.uint8:
                return images
        except Exception:  # noqa: S110 (whatever damage does to a parser, the answer is to sample again)
            pass
        images = self._sample(index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with in_place_of(path) as partial:
                np.savez(partial, images=images)
        except OSError as error:
            raise FewstepError(
                f"{self._folder}: cannot keep sampled images ({error}); FEWSTEP_CACHE names a folder"
            ) from error
        return images

    @torch.inference_mode()
    def _sample(self, index: int) -> Pictures:
        """(64, H, W, C) images by DDIM, in float32 whatever the training is done in."""
        noise = block_noise(self._seed, index, self._card.image_shape).to(self._device)
        with torch.autocast(self._device.type, enabled=False):
            images = ddim_sample(
                partial(self._teacher, labels=self._block_labels(index)),
                schedule=self._teacher.schedule,
                rows=self._rows,
                noise=noise,
                last_step=self._card.last_step,
            )
        return to_uint8(images)

    def _block_labels(self, index: int) -> Tensor:
        """(64,) int64: all classes of a class-conditional teacher in turn; zeros of another."""
        return torch.arange(index * BLOCK, (index + 1) * BLOCK, device=self._device) % (self._card.num_classes or 1)


def block_noise(seed: int, index: int, image_shape: tuple[int, int, int]) -> Tensor:
    """(64, C, H, W) float32 standard normal on the CPU, other for every seed and block."""
    # The last number sets it apart from the randomness of iterations, which is hashed from two.
    (mixed,) = np.random.SeedSequence([seed, index, 1]).generate_state(1, np.uint32).tolist()
    return torch.randn((BLOCK, *image_shape), generator=torch.Generator().manual_seed(mixed))
