"""A network walking one grid of rows: everything that is the same for every batch, made once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.errors import InvalidRequest
from models.checkpoints.stored import Stored
from models.data.images import Pictures, to_uint8
from models.diffusion.ddim import Step, ddim_steps, ddim_walk
from models.diffusion.prediction import x_from_prediction
from models.diffusion.schedule import build_schedule, rows_of
from models.sampling.compiled import Backend, compile_network
from models.sampling.kinds import network_of
from models.sampling.layers import Shifts
from models.sampling.lean import LeanUNet
from models.sampling.traced import Predict, trace


class Walker:
    """A checkpoint's network in one precision, and its grids.

    Attributes:
        network: The network.
        device: Where it is.
        fewest_steps: In which it can be walked.
    """

    def __init__(self, stored: Stored, *, dtype: torch.dtype) -> None:
        """Nothing is computed yet; the weights are on the device where they are to be, and are left as they are."""
        self._card = stored.card
        self.network = network_of(stored.config, stored.weights, dtype=dtype)
        self.device = next(self.network.parameters()).device
        self._predict: Predict = self.network
        self._schedule = build_schedule(stored.card.schedule).to(self.device)
        self.fewest_steps = stored.card.steps_up_to(1)
        self._grids: dict[int, list[Step]] = {}
        self._common: dict[int, list[Shifts]] = {}

    def steps(self, num_steps: int) -> list[Step]:
        """The walk in so many steps.

        Raises:
            InvalidRequest: The checkpoint cannot be sampled in so many.
        """
        if num_steps not in self._grids:
            try:
                rows = rows_of(self._card, num_steps)
            except ValueError as error:
                raise InvalidRequest(str(error), field="steps") from error
            self._grids[num_steps] = ddim_steps(self._schedule, rows)
        return self._grids[num_steps]

    def shifts(self, labels: Sequence[int], num_steps: int) -> list[Shifts]:
        """What row and class add in each step for a batch of images."""
        rows = [step.row for step in self.steps(num_steps)]
        if self._card.num_classes is not None:
            return [self.network.shifts(row, labels) for row in rows]
        if num_steps not in self._common:
            self._common[num_steps] = [self.network.shifts(row, None) for row in rows]
        return self._common[num_steps]

    def trace(self, noise: Tensor) -> None:
        """Call a lean network on a CPU as one whole from now on; ``noise`` is an example."""
        if isinstance(self.network, LeanUNet) and self.device.type == "cpu":
            labels = None if self._card.num_classes is None else [0] * len(noise)
            self._predict = trace(self.network, noise, self.network.shifts(self._card.rows[-1], labels))

    def compile(self, backend: Backend = "inductor") -> None:
        """Call the network compiled from now on, as of ``models.sampling.compiled``."""
        self._predict = compile_network(self.network, backend)

    def run_eagerly(self) -> None:
        """Call the network as it is from now on."""
        self._predict = self.network

    def example(self, size: int) -> Tensor:
        """Noise (size, C, H, W) on the CPU, the same each time."""
        return torch.randn((size, *self._card.image_shape), generator=torch.Generator().manual_seed(0))

    @property
    def ends_with_x_hat(self) -> bool:
        """Whether the last prediction is the image; else the last step is taken like any other."""
        return self._card.last_step == "x_hat"

    def predict_x(self, z_t: Tensor, shifts: Shifts, *, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """``x_hat`` of images (B, C, H, W) float32 at one row, unclipped."""
        prediction = self._predict(z_t, shifts)
        kind = self._card.prediction_type
        return x_from_prediction(prediction, z_t=z_t, alpha_t=alpha_t, sigma_t=sigma_t, prediction_type=kind)

    def walk(
        self,
        noise: Tensor,
        shifts: Sequence[Shifts],
        num_steps: int,
        between_steps: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Images (B, C, H, W) float32 in [-1, 1] of noise (B, C, H, W) float32; calls ``between_steps`` before each."""
        added = iter(shifts)

        def predict_x(z_t: Tensor, step: Step) -> Tensor:
            between_steps()
            return self.predict_x(z_t, next(added), alpha_t=step.alpha_t, sigma_t=step.sigma_t)

        steps = self.steps(num_steps)
        noise = noise.contiguous(memory_format=torch.channels_last)
        return ddim_walk(predict_x, steps=steps, noise=noise, last_step=self._card.last_step)

    def pictures(
        self,
        noise: Tensor,
        labels: Sequence[int],
        num_steps: int,
        between_steps: Callable[[], None] = lambda: None,
    ) -> Pictures:
        """Images (B, H, W, C) uint8 of noise on any device and a class for each image; the rest as of ``walk``."""
        return to_uint8(self.walk(noise.to(self.device), self.shifts(labels, num_steps), num_steps, between_steps))
