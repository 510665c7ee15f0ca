"""Images sampled from a teacher: a function of teacher, seed and iteration, whatever was on disk or in memory."""

import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import FewstepError, InvalidRequest
from models.checkpoints.checkpoint import load_checkpoint
from models.data.images import to_uint8
from models.diffusion.ddim import ddim_sample
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule
from models.distillation.chain import run_round
from models.distillation.rounds import plan_rounds
from models.distillation.synthetic import BLOCK, SyntheticConfig, SyntheticData, block_noise
from models.training.progress import Progress, StopTraining
from models.training.trainer import TrainConfig
from tests.methods import PD
from tests.states import assert_same_states

CONFIG = SyntheticConfig(images=2 * BLOCK, steps=1, refresh=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counting(nn.Module):
    """A network that counts how often it is asked, and may do something before each answer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked = 0

    def forward(self, z_t: Tensor, row: Tensor) -> object:
        self.asked += 1
        self.before()
        return self.network(z_t, row)

    def before(self) -> None:
        pass


def synthetic(
    family: Path, name: str = "2-step", config: SyntheticConfig = CONFIG, seed: int = 7
) -> tuple[SyntheticData, Counting]:
    network, card = load_checkpoint(family / name)
    counting = Counting(network)
    teacher = Denoiser(counting, cosine_schedule(), card.prediction_type)
    return SyntheticData(teacher, card=card, config=config, seed=seed), counting


def blocks(family: Path, *indices: int, seed: int = 7) -> Tensor:
    """What the teacher of two steps makes of the noise in one."""
    network, card = load_checkpoint(family / "2-step")
    schedule = cosine_schedule()
    with torch.inference_mode():
        images = [
            ddim_sample(
                Denoiser(network, schedule, card.prediction_type),
                schedule=schedule,
                rows=(0, 1024),
                noise=block_noise(seed, index, card.image_shape),
            )
            for index in indices
        ]
    return torch.from_numpy(np.concatenate([to_uint8(block) for block in images]))


def test_the_window_moves_on_by_a_block_every_so_many_iterations(tiny_family: Path) -> None:
    data, _ = synthetic(tiny_family)
    assert torch.equal(data.at(0).images, blocks(tiny_family, 0, 1))
    assert torch.equal(data.at(2).images, blocks(tiny_family, 0, 1))
    assert torch.equal(data.at(3).images, blocks(tiny_family, 2, 1)), "the oldest is replaced"
    assert torch.equal(data.at(6).images, blocks(tiny_family, 2, 3))
    assert torch.equal(data.at(0).images, blocks(tiny_family, 0, 1)), "the next round begins anew"
    assert not data.at(0).flip


def test_without_refresh_the_images_stay(tiny_family: Path) -> None:
    data, _ = synthetic(tiny_family, config=replace(CONFIG, refresh=0))
    assert torch.equal(data.at(10_000).images, blocks(tiny_family, 0, 1))


def test_an_iteration_has_the_same_images_read_or_sampled_reached_or_resumed(tiny_family: Path, cache: Path) -> None:
    walked, teacher = synthetic(tiny_family)
    for iteration in range(10):
        expected = walked.at(iteration).images
    assert teacher.asked == 5, "each block once"

    read, teacher = synthetic(tiny_family)
    assert torch.equal(read.at(9).images, expected)
    assert teacher.asked == 0

    shutil.rmtree(cache)
    sampled, teacher = synthetic(tiny_family)
    assert torch.equal(sampled.at(9).images, expected)
    assert teacher.asked == 2


def test_blocks_of_another_teacher_seed_or_sampling_are_not_taken(tiny_family: Path) -> None:
    ours, _ = synthetic(tiny_family)
    images = ours.at(0).images
    for other in (
        synthetic(tiny_family, seed=8),
        synthetic(tiny_family, name="4-step"),
        synthetic(tiny_family, config=replace(CONFIG, steps=2)),
    ):
        assert not torch.equal(other[0].at(0).images, images)


@pytest.mark.parametrize("damage", ["zeros", "short"])
def test_a_damaged_block_is_sampled_again(tiny_family: Path, cache: Path, damage: str) -> None:
    expected = synthetic(tiny_family)[0].at(0).images
    for path in (files := list(cache.rglob("*.npz"))):
        content = bytearray(path.read_bytes())
        content[-2000:-1000] = bytes(1000)
        path.write_bytes(content if damage == "zeros" else content[:-1000])
    assert len(files) == 2
    data, teacher = synthetic(tiny_family)
    assert torch.equal(data.at(0).images, expected)
    assert teacher.asked == 2


def test_sampling_leaves_the_randomness_of_training_alone(tiny_family: Path) -> None:
    """Else a block that is read instead would change the run."""
    data, _ = synthetic(tiny_family)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    data.at(0)
    assert torch.equal(torch.rand(4), expected)


def test_ctrl_c_keeps_the_images_that_are_done(tiny_family: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(CONFIG, images=4 * BLOCK)
    data, teacher = synthetic(tiny_family, config=config)
    teacher.before = lambda: signal.raise_signal(signal.SIGINT) if teacher.asked == 3 else None  # type: ignore[method-assign]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(StopTraining, match="stopped with 128 of 256 images sampled; the same command goes on"):
            data.fill()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "images of the teacher" in capsys.readouterr().err

    data, teacher = synthetic(tiny_family, config=config)
    data.fill()
    assert teacher.asked == 2
    data.fill()
    data.at(0)
    assert teacher.asked == 2


def test_images_come_in_whole_blocks(tiny_family: Path) -> None:
    data, _ = synthetic(tiny_family, config=SyntheticConfig(images=65))
    assert len(data.at(0).images) == 128
    assert data.facts["synthetic_images"] == 128
    assert data.facts["synthetic_steps"] == 2


def test_steps_that_do_not_divide_the_teachers_are_refused(tiny_family: Path) -> None:
    with pytest.raises(InvalidRequest, match="a grid of 2 steps") as caught:
        synthetic(tiny_family, config=replace(CONFIG, steps=3))
    assert caught.value.field == "synthetic-steps"


def test_a_cache_that_cannot_be_written_is_named(tiny_family: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(FewstepError, match="FEWSTEP_CACHE"):
        synthetic(tiny_family)[0].fill()


def test_a_round_cut_into_three_ends_bit_identical_to_one_in_a_piece(
    tiny_family: Path, tmp_path: Path, cache: Path
) -> None:
    network, card = load_checkpoint(tiny_family / "2-step")
    (this,) = plan_rounds(card.rows, from_steps=2, to_steps=1, method=PD.declaration)

    def run(state: Path, *cuts: int) -> None:
        for cut in (*cuts, None):
            teacher = Denoiser(network, cosine_schedule(), card.prediction_type)

            def on_progress(progress: Progress, cut: int | None = cut) -> None:
                if progress.iteration == cut:
                    raise StopTraining

            with nullcontext() if cut is None else pytest.raises(StopTraining):
                run_round(
                    teacher,
                    this,
                    method=PD,
                    data=SyntheticData(teacher, card=card, config=CONFIG, seed=7),
                    config=TrainConfig(iterations=9, batch_size=4, learning_rate=1e-3, decay="cosine", ema_decay=0.9),
                    state_path=state,
                    on_progress=on_progress,
                )
            shutil.rmtree(cache)  # costs time and nothing else

    run(tmp_path / "whole.pt")
    run(tmp_path / "pieces.pt", 2, 7)
    assert_same_states(tmp_path / "whole.pt", tmp_path / "pieces.pt")
