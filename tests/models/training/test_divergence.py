"""A run that a GPU tells an iteration late that it has diverged, tried on a CPU."""

from pathlib import Path

import pytest
import torch

from models.training import trainer
from models.training.batches import TrainingData
from models.training.execution import Execution
from models.training.progress import Progress
from models.training.trainer import SAVE_EVERY_S, Diverged, train
from tests.models.training.test_trainer import CONFIG, IMAGES, noise_loss, run, run_that_goes_wrong, small_network


@pytest.mark.parametrize(
    ("factor", "save_every_s"), [(float("nan"), SAVE_EVERY_S), (float("inf"), 0), (1e9, SAVE_EVERY_S)]
)
def test_read_an_iteration_late_a_run_that_goes_wrong_keeps_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, save_every_s: float
) -> None:
    """As on a GPU, where the step of the unsound iteration is held back on the device."""
    states = []
    for late in (False, True):
        monkeypatch.setattr(trainer, "reads_late", lambda *_, late=late: late)
        state_path = tmp_path / f"{late}.pt"
        with pytest.raises(Diverged, match="at iteration 6;"):
            run_that_goes_wrong(state_path, factor, save_every_s)
        states.append(torch.load(state_path))
    sooner, later = states
    assert sooner["iteration"] == later["iteration"] == 5
    torch.testing.assert_close(later["network"], sooner["network"], rtol=0, atol=0)
    torch.testing.assert_close(later["optimizer"]["state"], sooner["optimizer"]["state"], rtol=0, atol=0)
    torch.testing.assert_close(later["ema"], sooner["ema"])


def test_read_an_iteration_late_a_sound_run_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(tmp_path / "sooner.pt")
    monkeypatch.setattr(trainer, "reads_late", lambda *_: True)
    found = run(tmp_path / "later.pt")
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks an NVIDIA GPU for what makes the host wait")
def test_an_iteration_on_a_gpu_does_not_wait_for_it(tmp_path: Path) -> None:
    def forbid(progress: Progress) -> None:
        torch.cuda.set_sync_debug_mode("error" if 2 < progress.iteration < CONFIG.iterations - 1 else "default")

    try:
        train(
            small_network().cuda(),
            loss=noise_loss,
            data=TrainingData(IMAGES.cuda(), flip=True),
            config=CONFIG,
            state_path=tmp_path / "state.pt",
            on_progress=forbid,
            execution=Execution(compile=False),
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
