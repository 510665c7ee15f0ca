"""Two processes that torchrun starts train as one does: the same losses, the same weights, one set of files."""

import atexit
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.catalog.card import read_card
from core.errors import InvalidRequest
from models.checkpoints.checkpoint import load_checkpoint
from models.diffusion.prediction import Denoiser
from models.diffusion.schedule import cosine_schedule, step_rows
from models.diffusion.unet import UNetConfig, build_unet
from models.distillation.chain import run_round
from models.distillation.rounds import plan_rounds
from models.training.batches import TrainingData
from models.training.parallel import join_processes, process_index, refuse_uneven
from models.training.progress import Progress
from models.training.trainer import TrainConfig
from tests.methods import PD, built
from tests.models.conftest import Here

pytestmark = pytest.mark.slow

FEWSTEP = Path(sys.executable).with_name("fewstep")
UNET = UNetConfig(image_shape=(3, 8, 8), channels=32, multipliers=(1, 2), attention_levels=(1,), blocks=1)
CONFIG = TrainConfig(iterations=20, batch_size=8, learning_rate=2e-4, decay="cosine", seed=3)
METHODS = {"pd": 2, "cfd": 2, "rdd": 2, "sfd": 6}
"""Steps of the teacher of each."""


def teacher_network() -> nn.Module:
    torch.manual_seed(0)
    return build_unet(UNET)


def test_a_process_that_joins_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", told.append)
    monkeypatch.setattr(atexit, "register", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    join_processes()
    assert told == [3, "cpu:gloo,cuda:nccl"], "the GPU first, since messages go through the current one"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    join_processes()
    assert told[2:] == ["cpu:gloo,cuda:nccl"]


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in weights.values()])


def learn(method: str, folder: Path) -> None:
    """A round; writes the losses that this process saw, and the state."""
    teacher = Denoiser(teacher_network().requires_grad_(False).eval(), cosine_schedule(), "sample")
    images = torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    steps = METHODS[method]
    (this,) = plan_rounds(step_rows(steps), from_steps=steps, to_steps=steps // 2, method=PD.declaration)
    losses: list[float] = []

    def note(progress: Progress) -> None:
        losses.append(progress.loss.item())

    run_round(
        teacher,
        this,
        method=built(method),
        data=TrainingData(images, flip=True),
        config=CONFIG,
        state_path=folder / f"{method}.state.pt",
        on_progress=note,
    )
    (folder / f"{method}.{process_index()}.json").write_text(json.dumps(losses))


def torchrun(*command: str | Path, processes: int = 2) -> list[str | Path]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, *command]


@pytest.fixture
def environment(tiny_family: Path, tmp_path: Path) -> dict[str, str]:
    paths = {"FEWSTEP_CHECKPOINTS": str(tiny_family.parent), "FEWSTEP_CACHE": str(tmp_path / "cache")}
    return {**os.environ, **paths, "GLOO_SOCKET_IFNAME": "lo"}


def test_two_processes_learn_what_one_learns(tmp_path: Path, environment: dict[str, str]) -> None:
    two = tmp_path / "two"
    two.mkdir()
    subprocess.run(torchrun(__file__, two), env=environment, check=True, timeout=240)
    for method in METHODS:
        learn(method, tmp_path)
        losses = json.loads((tmp_path / f"{method}.0.json").read_text())
        first, second = (json.loads((two / f"{method}.{index}.json").read_text()) for index in (0, 1))
        assert first == second
        assert first == pytest.approx(losses, rel=1e-4)
        assert len(losses) == 20
        ours, theirs = (torch.load(folder / f"{method}.state.pt") for folder in (tmp_path, two))
        start, one, other = map(flat, (teacher_network().state_dict(), ours["network"], theirs["network"]))
        assert (other - one).norm() < 1e-2 * (one - start).norm()


def test_a_run_that_two_processes_began_is_stopped_in_both_and_finished_by_one(
    tmp_path: Path, environment: dict[str, str], here: Here
) -> None:
    command: list[str | Path] = ["distill", "--teacher", "tiny/2-step", "--from", "2", "--to", "1"]
    command += ["--data", noise_pictures(tmp_path), "--out", tmp_path / "out", "--batch-size", "4"]
    command += ["--iterations", "20", "--precision", "bf16"]
    with subprocess.Popen(
        torchrun("--no-python", FEWSTEP, *command), env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        shown = ""
        while "%|" not in shown:
            shown += process.stderr.read(1)
        process.send_signal(signal.SIGTERM)
        shown += process.communicate(timeout=120)[1]
    assert shown.count("fewstep: stopped after iteration") == 1, shown
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1-step.state.pt"]
    reached = torch.load(tmp_path / "out" / "1-step.state.pt")["iteration"]
    assert 0 < reached < 40

    here(*command)
    made_with = read_card(tmp_path / "out" / "1-step").hyper_parameters
    assert (made_with["iterations"], made_with["precision"]) == (40, "bf16")
    load_checkpoint(tmp_path / "out" / "1-step")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1-step"]


def noise_pictures(folder: Path) -> Path:
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir()
    for index in range(8):
        Image.effect_noise((8, 8), 90).convert("RGB").save(pictures / f"{index}.png")
    return pictures


def test_a_batch_must_be_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_uneven(7)
    monkeypatch.setattr("models.training.parallel.num_processes", lambda: 2)
    refuse_uneven(8)
    with pytest.raises(InvalidRequest, match="2 processes cannot share 7 images evenly") as caught:
        refuse_uneven(7)
    assert caught.value.field == "batch-size"


if __name__ == "__main__":
    join_processes()
    for each in METHODS:
        learn(each, Path(sys.argv[1]))
