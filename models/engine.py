"""Sampling from a checkpoint: what the command line and the service both use, so that their pixels are the same."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidRequest
from models.checkpoint import load_checkpoint
from models.ddim import ddim_sample
from models.images import Pictures, to_uint8
from models.prediction import Denoiser
from models.schedule import cosine_schedule, subgrid

BATCH_SIZE = 8
"""Every batch has this size: kernels round differently at different sizes, and an image must not depend on company."""


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
    except (RuntimeError, AssertionError) as error:
        raise InvalidRequest(f"no device {name!r} here; use auto, cpu or cuda", field="device") from error
    return device


def noise_for(seeds: Sequence[int], image_shape: tuple[int, int, int]) -> Tensor:
    """(len(seeds), C, H, W) float32 initial noise on the CPU, each image from a generator of its own.

    Raises:
        InvalidRequest: A seed is not in 0 … 2^32 - 1. Torch's CPU generator knows only the lowest 32 bits of a seed, so
            one beyond would repeat the image of another.
    """
    if any(not 0 <= seed < 2**32 for seed in seeds):
        raise InvalidRequest(f"seeds run from 0 to {2**32 - 1}, that of the last image included", field="seed")
    noise = torch.empty(len(seeds), *image_shape)
    for index, seed in enumerate(seeds):
        noise[index] = torch.randn((1, *image_shape), generator=torch.Generator().manual_seed(seed))[0]
    return noise


class Sampler:
    """A checkpoint, verified and loaded.

    Not safe for use by two threads at once.

    Attributes:
        card: The checkpoint's card.
        device: Where it samples.
    """

    def __init__(self, checkpoint: Path, *, device: str = "auto") -> None:
        """Load a checkpoint folder.

        Raises:
            CheckpointError: It is damaged; the message says how.
            InvalidRequest: There is no such device.
        """
        self.device = pick_device(device)
        network, self.card = load_checkpoint(checkpoint)
        network.to(self.device).requires_grad_(False)
        self._denoise = Denoiser(network, cosine_schedule().to(self.device), self.card.prediction_type)

    def sample(
        self,
        *,
        seeds: Sequence[int],
        num_steps: int | None = None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> Pictures:
        """One image a seed; the same seed gives the same image whatever stands beside it.

        Args:
            seeds: In 0 … 2^32 - 1.
            num_steps: A divisor of the steps the checkpoint was trained for; None for those themselves.
            between_batches: Called before each batch; may raise to give up.

        Returns:
            (len(seeds), H, W, C) uint8.

        Raises:
            InvalidRequest: ``num_steps`` does not divide the checkpoint's steps.
        """
        noise = noise_for(seeds, self.card.image_shape)
        return self.sample_noise(noise, num_steps=num_steps, between_batches=between_batches)

    @torch.inference_mode()
    def sample_noise(
        self,
        noise: Tensor,
        *,
        num_steps: int | None = None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> Pictures:
        """As ``sample``, from initial noise of (N, C, H, W) float32.

        Raises:
            InvalidRequest: ``num_steps`` does not divide the checkpoint's steps, or the noise has another shape.
        """
        if noise.ndim != 4 or noise.shape[1:] != self.card.image_shape:
            wanted = ", ".join(map(str, self.card.image_shape))
            raise InvalidRequest(f"the noise has shape {tuple(noise.shape)}; it must be (N, {wanted})", field="noise")
        try:
            rows = subgrid(self.card.rows, num_steps or self.card.num_steps)
        except ValueError as error:
            raise InvalidRequest(str(error), field="steps") from error
        batches: list[npt.NDArray[np.uint8]] = [np.zeros((0, *noise.shape[2:], noise.shape[1]), np.uint8)]
        for batch in noise.split(BATCH_SIZE):
            between_batches()
            padded = torch.zeros(BATCH_SIZE, *noise.shape[1:])
            padded[: len(batch)] = batch
            images = ddim_sample(
                self._denoise,
                schedule=self._denoise.schedule,
                rows=rows,
                noise=padded.to(self.device),
                last_step=self.card.last_step,
            )
            batches.append(to_uint8(images[: len(batch)]))
        return np.concatenate(batches)
