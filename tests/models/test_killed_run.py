"""A run that is killed without warning, and begun again, ends as if nothing had happened."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from models.batches import Batch, TrainingData
from models.parallel import Draws
from models.progress import Progress
from models.trainer import TrainConfig, train

CONFIG = TrainConfig(
    iterations=400, batch_size=4, learning_rate=1e-2, decay="cosine", warmup=20, clip=1.0, ema_decay=0.9, seed=5
)
KILLS = 3


def run(state_path: Path, pause_s: float) -> None:
    """Train a small network with all that has to resume: average, schedule, flips, dropout."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(4, 1, 3, padding=1))
    images = torch.randint(0, 256, (20, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def loss(network: nn.Module, batch: Batch, draws: Draws) -> Tensor:
        eps = draws.randn(batch.x.shape)
        x_hat: Tensor = network(batch.x + eps)
        return (x_hat - batch.x).square().mean()

    def report(progress: Progress) -> None:
        print(progress.iteration, flush=True)
        time.sleep(pause_s)

    train(
        network,
        loss=loss,
        data=TrainingData(images, flip=True),
        config=CONFIG,
        state_path=state_path,
        on_progress=report,
        save_every_s=0.05,
    )


def test_a_killed_run_goes_on_to_bit_identical_weights_and_optimizer(tmp_path: Path) -> None:
    run(tmp_path / "whole.pt", pause_s=0)
    reached = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, __file__, str(tmp_path / "killed.pt")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        first = int(process.stdout.readline())
        assert first > reached * 0.5, "a save was lost"
        for line in process.stdout:
            reached = int(line)
            if reached >= first + 60:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert reached < CONFIG.iterations
    run(tmp_path / "killed.pt", pause_s=0)

    whole, killed = (torch.load(tmp_path / name) for name in ("whole.pt", "killed.pt"))
    assert whole["iteration"] == killed["iteration"] == CONFIG.iterations
    for part in ("network", "ema"):
        assert all(torch.equal(value, killed[part][name]) for name, value in whole[part].items()), part
    for index, ours in whole["optimizer"]["state"].items():
        assert all(torch.equal(ours[key], killed["optimizer"]["state"][index][key]) for key in ours)


if __name__ == "__main__":
    run(Path(sys.argv[1]), pause_s=0.005)
