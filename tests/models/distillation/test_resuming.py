"""Whatever a method keeps between iterations, a run in pieces ends in the bits of a run in one."""

from pathlib import Path

import pytest
import torch

from core.methods.declaration import find_method
from models.checkpoints.checkpoint import load_denoiser
from models.distillation.chain import rounds_from, run_round
from models.training.batches import TrainingData
from models.training.progress import Progress, StopTraining
from models.training.trainer import TrainConfig
from tests.methods import built

CONFIG = TrainConfig(iterations=8, batch_size=4, learning_rate=1e-3, decay="cosine", seed=3)


@pytest.mark.parametrize("name", ["sfd", "rdd"])
def test_a_run_cut_off_anywhere_ends_in_the_same_bits(name: str, tiny_family: Path, tmp_path: Path) -> None:
    device, declaration = torch.device("cpu"), find_method(name)
    images = torch.randint(0, 256, (20, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = TrainingData(images, flip=False, labels=torch.arange(20) % 3)

    def run(*stops: int) -> dict[str, torch.Tensor]:
        state = tmp_path / f"{len(stops)}.pt"

        def stop(progress: Progress) -> None:
            if progress.iteration in stops:
                raise StopTraining("as asked")

        for _ in range(len(stops) + 1):
            teacher, card = load_denoiser(tiny_family / "teacher", device)
            (this,) = rounds_from(card, method=declaration, from_steps=6, to_steps=3)
            try:
                student = run_round(
                    teacher, this, method=built(name), data=data, config=CONFIG, state_path=state, on_progress=stop
                )
            except StopTraining:
                continue
        return student.network.state_dict()

    whole, pieces = run(), run(2, 4, 7)
    assert all(torch.equal(value, pieces[part]) for part, value in whole.items())
