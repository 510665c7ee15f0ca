"""Sampling from a checkpoint: what the command line and the service both use, so that their pixels are the same."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.catalog.card import Card, refuse_class
from core.errors import InvalidRequest
from models.checkpoints.stored import fitting, read_stored
from models.data.images import Pictures
from models.diffusion.unet import is_ours
from models.sampling.captured import CapturedWalks, loading
from models.sampling.flops import count_flops
from models.sampling.host import current
from models.sampling.kinds import refuse_unlike, without_values
from models.sampling.lanes import FreeCores, cores, side_by_side, torch_threads
from models.sampling.readiness import CPU_SIZES, make_ready
from models.sampling.sizes import cut
from models.training.execution import AskedPrecision, Execution


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is CUDA where there is any, else the CPU; anything else is torch's name of a device.

    Of several processes that torchrun starts on a machine each has a GPU of its own.

    Raises:
        InvalidRequest: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.index is not None and device.type == "cuda":
            torch.cuda.set_device(device)  # of this thread: streams, kernels of ours and messages go there
    except (RuntimeError, AssertionError) as error:
        raise InvalidRequest(f"no device {name!r} here; use auto, cpu or cuda", field="device") from error
    return device


def noise_for(seeds: Sequence[int], image_shape: tuple[int, int, int]) -> Tensor:
    """(len(seeds), C, H, W) float32 initial noise on the CPU, each image as from a generator of its own.

    Raises:
        InvalidRequest: A seed is not in 0 … 2^32 - 1. Torch's CPU generator knows only the lowest 32 bits of a seed, so
            one beyond would repeat the image of another.
    """
    if any(not 0 <= seed < 2**32 for seed in seeds):
        raise InvalidRequest(f"seeds run from 0 to {2**32 - 1}, that of the last image included", field="seed")
    noise = torch.empty(len(seeds), *image_shape)
    generator = torch.Generator()
    for image, seed in zip(noise, seeds, strict=True):
        image.normal_(generator=generator.manual_seed(seed))
    return noise


def class_labels(card: Card, seeds: Sequence[int], class_label: int | None = None) -> list[int]:
    """The class of each image: ``class_label``, or else its seed modulo the number of classes, so that all are met.

    Raises:
        InvalidRequest: A class is asked that the checkpoint does not have.
    """
    if class_label is not None:
        refuse_class(card, class_label)
        return [class_label] * len(seeds)
    return [seed % (card.num_classes or 1) for seed in seeds]


class Sampler:
    """A checkpoint, verified, loaded and made ready for this device.

    Not safe for use by two threads at once.

    Attributes:
        card: The checkpoint's card.
        device: Where it samples.
        precision: Of the network: what was asked for or, by ``auto``, what ``models.sampling.readiness`` chose.
        sizes: Batch sizes in which an image has the same pixels, ascending; every batch is padded to one of them.
        threads: CPU threads that share the work of a single image, at most; the pixels are the same with any number.
        flops: Of one call of the network for one image; see ``models.sampling.flops``.
        facts: What was measured while it was loaded.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        device: str = "auto",
        precision: AskedPrecision = "auto",
        compiled: bool = True,
        between_sizes: Callable[[], None] = lambda: None,
    ) -> None:
        """Load a checkpoint folder.

        Args:
            checkpoint: The folder.
            device: As of ``pick_device``.
            precision: What is asked for.
            compiled: Whether to compile the network on a GPU, which takes minutes; see ``models.sampling.compiled``.
            between_sizes: Called before each batch size that is made ready; may raise to give up.

        Raises:
            CheckpointError: It is damaged, or its network is none that samples as diffusers runs it; the message says
                how.
            InvalidRequest: There is no such device, or it lacks the precision.
        """
        self.device = pick_device(device)
        Execution(precision=precision).precision_on(self.device)  # refuses what is not to be had
        stored = read_stored(checkpoint)
        self.card = stored.card
        with fitting(checkpoint):
            without_values(stored.config, stored.weights)
        self.flops = count_flops(stored.config, stored.weights)
        with loading(self.device):
            if not is_ours(stored.config):
                refuse_unlike(stored.config, checkpoint, rows=self.card.rows, device=self.device)
            stored = stored.to(self.device)
            ready = make_ready(stored, precision, compiled=compiled, between_sizes=between_sizes)
            self.precision, self.sizes, self.threads = ready.precision, ready.sizes, ready.threads
            self.facts = ready.facts
            self.num_bytes = ready.walker.network.num_bytes
            self._walker = ready.walker
            self._run: Callable[[Tensor, Sequence[int], int], Pictures] = ready.walker.pictures
            self._lanes = cores() if self.device.type == "cpu" else 1
            self._free_cores = FreeCores()
            if self.device.type == "cuda":
                self._record(between_sizes)

    def _record(self, between_sizes: Callable[[], None]) -> None:
        """Now, and not when the first request of a size comes."""
        captured = CapturedWalks(self._walker)
        for size in self.sizes:
            between_sizes()
            captured.record(size)
        self.num_bytes += captured.num_bytes
        self.facts |= {"recorded": [size for size in self.sizes if size not in captured.failed]}
        if captured.failed:
            self.facts |= {"not_recorded": captured.failed}
        self._run = captured

    def run_unrecorded(self) -> None:
        """Do without what is recorded on a GPU, to compare."""
        self._run = self._walker.pictures

    @property
    def max_batch(self) -> int:
        """Most images that are sampled at once."""
        return self.sizes[-1]

    @property
    def telling_batch(self) -> int:
        """So many images at once tell what one costs: on a CPU fewer than fill a batch."""
        return self.max_batch if self.device.type == "cuda" else min(self.max_batch, CPU_SIZES[-1])

    def sample(
        self,
        *,
        seeds: Sequence[int],
        class_label: int | None = None,
        num_steps: int | None = None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> Pictures:
        """One image a seed; the same seed gives the same image whatever stands beside it.

        Args:
            seeds: In 0 … 2^32 - 1.
            class_label: Class of all images of a class-conditional checkpoint; by default as of ``class_labels``.
            num_steps: As of ``Card.can_walk``; None for those that the checkpoint was trained for.
            between_batches: Called before each batch; may raise to give up.

        Returns:
            (len(seeds), H, W, C) uint8.

        Raises:
            InvalidRequest: The checkpoint cannot be sampled in ``num_steps``, or it has no such class.
        """
        noise = noise_for(seeds, self.card.image_shape)
        labels = class_labels(self.card, seeds, class_label)
        return self.sample_noise(noise, labels=labels, num_steps=num_steps, between_batches=between_batches)

    def sample_noise(
        self,
        noise: Tensor,
        *,
        labels: Sequence[int] | None = None,
        num_steps: int | None = None,
        between_batches: Callable[[], None] = lambda: None,
        between_steps: Callable[[], None] | None = None,
    ) -> Pictures:
        """As ``sample``, from initial noise of (N, C, H, W) float32 and a class for each.

        Without ``labels`` image i has the class that seed i would have. ``between_steps`` is called before each step of
        a batch; it may raise to give up, and may itself sample with this.

        Raises:
            InvalidRequest: The checkpoint cannot be sampled in ``num_steps``, or the noise has another shape.
        """
        if noise.ndim != 4 or noise.shape[1:] != self.card.image_shape:
            wanted = ", ".join(map(str, self.card.image_shape))
            raise InvalidRequest(f"the noise has shape {tuple(noise.shape)}; it must be (N, {wanted})", field="noise")
        labels = labels or class_labels(self.card, range(len(noise)))
        steps = num_steps or self.card.num_steps
        # Not what is recorded, whose buffers others may use in between.
        walk = self._run if between_steps is None else partial(self._walker.pictures, between_steps=between_steps)

        def sample(part: slice) -> Pictures:
            with torch.inference_mode(), current(self.device):
                return self._in_sizes(walk, noise[part], labels[part], steps)

        pictures: list[Pictures] = [np.zeros((0, *noise.shape[2:], noise.shape[1]), np.uint8)]
        most = self.max_batch * self._lanes
        for start in range(0, len(noise), most):
            between_batches()
            part = slice(start, min(start + most, len(noise)))
            pictures += self._on_cores(sample, part) if between_steps is None else [sample(part)]
        return np.concatenate(pictures)

    def _on_cores(self, sample: Callable[[slice], Pictures], images: slice) -> list[Pictures]:
        """Side by side on a CPU, a single one by as many threads as suit it; elsewhere all at once."""
        if self.device.type != "cpu":
            return [sample(images)]
        count = images.stop - images.start
        if count > 1 or self.threads == 1 or (threads := min(self.threads, self._free_cores())) == 1:
            each = -(-count // self._lanes)
            starts = range(images.start, images.stop, each)
            return side_by_side(sample, [slice(start, min(start + each, images.stop)) for start in starts])
        with torch_threads(threads):
            return [sample(images)]

    def _in_sizes(
        self,
        walk: Callable[[Tensor, Sequence[int], int], Pictures],
        noise: Tensor,
        labels: Sequence[int],
        steps: int,
    ) -> Pictures:
        """In batches of sizes that give the same pixels."""
        pictures = []
        start = 0
        for count, size in cut(len(noise), self.sizes):
            padded = torch.zeros(size, *noise.shape[1:])
            padded[:count] = noise[start : start + count]
            padded_labels = [*labels[start : start + count], *[0] * (size - count)]
            pictures.append(walk(padded, padded_labels, steps)[:count])
            start += count
        return np.concatenate(pictures)
