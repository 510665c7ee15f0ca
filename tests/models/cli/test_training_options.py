"""What a training may be asked for is declared once, and meant alike on the command line and over HTTP."""

import inspect
from collections.abc import Callable

import pytest

from core.jobs.training import TrainingRequest
from core.training.network import count_weights
from core.training.options import OPTIONS, Kind, settle
from models.cli.training import train, train_classifier
from models.diffusion.unet import UNetConfig, build_unet


@pytest.mark.parametrize(("kind", "command"), [(Kind.TEACHER, train), (Kind.CLASSIFIER, train_classifier)])
def test_command_and_request_have_the_same_options(kind: Kind, command: Callable[..., None]) -> None:
    taken = inspect.signature(command).parameters
    assert OPTIONS[kind].model_fields.keys() <= taken.keys()
    assert OPTIONS[kind].model_fields.keys() <= TrainingRequest.model_fields.keys()
    given = {
        name: tuple(map(int, taken[name].default.split(","))) if isinstance(field.default, tuple) else field.default
        for name, field in OPTIONS[kind].model_fields.items()
    }
    assert settle(kind, given) == settle(kind, {})
    bare = TrainingRequest.model_validate({"kind": kind.value, "data": "digits"})
    assert bare.given == {}


@pytest.mark.parametrize(("channels", "multipliers", "blocks"), [(32, (1, 2), 1), (64, (1, 2, 2, 2), 2), (32, (1,), 3)])
def test_the_weights_of_a_network_are_estimated_without_one(
    channels: int, multipliers: tuple[int, ...], blocks: int
) -> None:
    config = UNetConfig(channels=channels, multipliers=multipliers, blocks=blocks)
    real = sum(weights.numel() for weights in build_unet(config).parameters())
    assert 0.6 < count_weights(channels, multipliers, blocks=blocks) / real < 1.5
