import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.card import CARD_NAME, CheckpointError
from worker.samplers import Samplers


@pytest.fixture
def checkpoint(tiny_family: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_family / "1-step", tmp_path / "1-step"))


def test_loaded_once_for_all_threads(checkpoint: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(lambda _: samplers.get(checkpoint), range(8)))
    assert len({id(sampler) for sampler in loaded}) == 1


def test_loaded_again_when_the_card_changed(checkpoint: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    first = samplers.get(checkpoint)
    assert samplers.get(checkpoint) is first
    os.utime(checkpoint / CARD_NAME, (1, 1))
    assert samplers.get(checkpoint) is not first


def test_a_missing_or_damaged_one_is_tried_again(checkpoint: Path, tmp_path: Path) -> None:
    samplers = Samplers("cpu", max_bytes=2**30)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        samplers.get(tmp_path / "2-step")
    weights = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="SHA-256"):
        samplers.get(checkpoint)
    weights.write_bytes(whole)
    assert samplers.get(checkpoint).card.num_steps == 1
