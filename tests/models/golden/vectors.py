"""Golden vectors, and what tests hold against them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.checkpoints.authors import load_authors_unet
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule


class Golden:
    """A file of vectors; that of the CFD authors' code has the networks of all."""

    def __init__(self, name: str = "reference_vectors") -> None:
        self._file = safe_open(Path(__file__).with_name(f"{name}.safetensors"), "pt")
        self._metadata = self._file.metadata()

    @property
    def unet_config(self) -> Any:  # noqa: ANN401 (what the file says)
        return json.loads(self._metadata["unet"])

    @property
    def config(self) -> Any:  # noqa: ANN401 (what the file says)
        return json.loads(self._metadata["config"])

    def __getitem__(self, key: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(key)
        return tensor

    def state(self, prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): self[key] for key in self._file.keys() if key.startswith(prefix)}  # noqa: SIM118


class GoldenClassifier(nn.Module):
    """The small network of the vectors; it takes images in [-1, 1] as they are."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc = nn.Linear(16, 10)
        self.load_state_dict(state)
        self.requires_grad_(False).eval()

    def maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv2(self.conv1(images).relu()).relu()
        return maps

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.maps(images).mean((2, 3)) * 25
        return self.fc(features), features


def denoiser(networks: Golden, who: str) -> Denoiser:
    return Denoiser(load_authors_unet(networks.state(f"{who}.")), cosine_schedule(), "sample")


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def assert_gradients_close(student: Denoiser, golden: Golden, key: str, tolerance: float, *, suffix: str = "") -> None:
    for ours, theirs in (("conv_in.weight", "head_weight"), ("conv_out.weight", "tail_weight")):
        actual, expected = student.network.get_parameter(ours).grad, golden[f"{key}_{theirs}{suffix}"]
        assert actual is not None
        assert (actual - expected).norm() <= tolerance * expected.norm(), ours
