"""A run that is killed without warning, and begun again, ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.catalog.card import Card
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule
from models.distillation.synthetic import BLOCK, SyntheticConfig, SyntheticData
from models.training.batches import Batch, DataSource, TrainingData
from models.training.parallel import Draws
from models.training.progress import Progress
from models.training.trainer import TrainConfig, train
from tests.states import assert_same_states

pytestmark = pytest.mark.slow

CONFIG = TrainConfig(
    iterations=300, batch_size=4, learning_rate=1e-2, decay="cosine", warmup=20, clip=1.0, ema_decay=0.9, seed=5
)
SYNTHETIC = SyntheticConfig(images=3 * BLOCK, refresh=20)
SAVE_EVERY_S = 0.2
KILLED_AT = (115, 230)
SAVED_BEFORE = 7  # iterations


class Teacher(nn.Module):
    """Answers as a U-Net does, in the smallest way."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, z_t: Tensor, row: Tensor) -> "Answer":
        return Answer(self.layer(z_t) * (row / 1024).view(-1, 1, 1, 1))


@dataclass
class Answer:
    sample: Tensor


@dataclass
class Mirrored:
    """Data that may be mirrored."""

    source: DataSource

    def at(self, iteration: int) -> TrainingData:
        return replace(self.source.at(iteration), flip=True)


def run(state_path: Path, killed_at: int | None) -> None:
    """Train a small network with all that has to resume: average, schedule, flips, dropout, images of a teacher."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(4, 1, 3, padding=1))
    teacher = Denoiser(Teacher().eval(), cosine_schedule(), "sample")
    card = Card(
        fewstep_version="0",
        num_steps=2,
        rows=(0, 512, 1024),
        last_step="row_0",
        prediction_type="sample",
        image_shape=(1, 4, 4),
        parameters=10,
        method="base",
        diffusers_call="",
        sha256="0" * 64,
    )

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        eps = draws.randn(batch.x.shape)
        x_hat: Tensor = network(batch.x + eps)
        return (x_hat - batch.x).square().mean()

    def report(progress: Progress) -> None:
        """Comes before the save of the iteration, if there is one."""
        print(progress.iteration, flush=True)
        if progress.iteration + SAVED_BEFORE == killed_at:
            time.sleep(SAVE_EVERY_S)  # now one is due
        if progress.iteration == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(
        network,
        loss=loss,
        data=Mirrored(SyntheticData(teacher, card=card, config=SYNTHETIC, seed=CONFIG.seed)),
        config=CONFIG,
        state_path=state_path,
        on_progress=report,
        save_every_s=SAVE_EVERY_S,
    )


def test_a_run_killed_twice_between_saves_ends_bit_identical_to_one_in_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "whole"))
    run(tmp_path / "whole.pt", None)
    capfd.readouterr()

    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "killed"))
    before = 0
    for killed_at in KILLED_AT:
        command = [sys.executable, "-m", "tests.models.test_killed_run", str(tmp_path / "killed.pt"), str(killed_at)]
        assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL
        assert iterations(capfd) == range(before + 1, killed_at + 1)
        before = torch.load(tmp_path / "killed.pt")["iteration"]
        assert killed_at - SAVED_BEFORE <= before < killed_at, "no save was lost, but iterations were"
    run(tmp_path / "killed.pt", None)
    assert iterations(capfd) == range(before + 1, CONFIG.iterations + 1)

    state = assert_same_states(tmp_path / "whole.pt", tmp_path / "killed.pt")
    assert state["iteration"] == CONFIG.iterations


def iterations(capfd: pytest.CaptureFixture[str]) -> range:
    """Those that were reported, one after the other."""
    done = [int(line) for line in capfd.readouterr().out.split()]
    assert done == list(range(done[0], done[-1] + 1))
    return range(done[0], done[-1] + 1)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
