"""A command goes on from its own state, and from no other's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.catalog.card import SHIPPED_CHECKPOINTS
from models.cli import runs
from models.training.progress import OnProgress, Progress, StopTraining
from tests.models.conftest import Here

pytestmark = pytest.mark.slow

DIGITS = SHIPPED_CHECKPOINTS / "digits"
BRIEFLY = "--iterations 2 --batch-size 2 --device cpu"
TEACHER = "train --channels 32 --multipliers 1,1 --attention 1 --blocks 1"
CLASSIFIER = "train-classifier --architecture resnet-9"
SFD = f"distill --teacher {DIGITS}/teacher --method sfd --from 8 --to 4"
CFD = (
    f"distill --teacher {DIGITS}/8-step --from 8 --to 4 --method cfd --classifier {DIGITS}/classifier --temperature 0.9"
)


@contextmanager
def stopped(*_: object, **__: object) -> Iterator[OnProgress]:
    """What watches a run, and stops it after the first iteration."""

    def stop(progress: Progress) -> None:
        raise StopTraining(f"stopped after iteration {progress.iteration}")

    yield stop


@pytest.mark.parametrize(
    ("command", "there", "now", "named"),
    [
        (TEACHER, "", "--max-snr 5", "max_snr None there and 5.0 here"),
        (TEACHER, "--dropout 0.2", "", "dropout 0.2 there and 0.1 here"),
        (TEACHER, "", f"--init {DIGITS}/teacher", "init_sha256 None there and"),
        (CLASSIFIER, "--cutout 8", "", "cutout 8 there and 0 here"),
        (CLASSIFIER, "--label-smoothing 0.1", "", "label_smoothing 0.1 there and 0.0 here"),
        (CLASSIFIER, "", "--size 8", "data_fingerprint"),
        (SFD, "", "--from 16", "teacher_steps 8 there and 16 here"),
        (SFD, "", f"--teacher {DIGITS}/8-step", "teacher_sha256"),
        (SFD, "", f"--loss cfd --classifier {DIGITS}/classifier", "loss l1 there and cfd here"),
        (CFD, "", "--temperature 0.95", "temperature 0.9 there and 0.95 here"),
        (CFD, "", "--data synthetic --synthetic-images 64 --synthetic-steps 1", "data_fingerprint"),
    ],
)
def test_what_was_begun_otherwise_is_not_gone_on_with(
    command: str, there: str, now: str, named: str, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = [*command.split(), "--out", str(tmp_path / "made"), *BRIEFLY.split()]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "terminal_progress", stopped)
        assert "stopped after iteration 1" in here(*begin, *there.split(), expect=130, stderr=True)
    said = here(*begin, *now.split(), expect=2)
    assert "state.pt: left by a run with other hyper-parameters:" in said
    assert named in said
    here(*begin, *there.split())
