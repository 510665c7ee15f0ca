"""Jobs that train, cut off by accidents, come to what the command line makes in one piece."""

import signal
from pathlib import Path
from typing import Any

import pytest

from core.catalog.card import read_card
from core.training.options import ClassifierOptions, TeacherOptions
from models.cli.runs import train_classifier, train_teacher
from tests.e2e.yard import SABOTEUR, Yard, draw_pictures
from tests.processes import wait_until

TEACHER: dict[str, Any] = {
    "channels": 32,
    "multipliers": (1,),
    "attention": (),
    "blocks": 1,
    "dropout": 0.1,
    "iterations": 12,
    "batch_size": 4,
    "warmup": 2,
    "ema_decay": 0.5,
}
CLASSIFIER: dict[str, Any] = {"architecture": "resnet-small", "iterations": 120, "batch_size": 4}
"""Of more iterations than a fast machine makes in a slice."""


@pytest.fixture(scope="module")
def classes(yard: Yard) -> Path:
    """Pictures in two classes."""
    folder = yard.settings.datasets / "classes"
    for name in ("one", "two"):
        draw_pictures(folder / name)
    return folder


def test_a_killed_training_of_a_teacher_ends_in_the_same_bits(yard: Yard, tmp_path: Path) -> None:
    data = str(yard.settings.datasets / "squares")
    train_teacher(out=tmp_path / "teacher", data=data, options=TeacherOptions(**TEACHER), device="cpu")
    yard.start("doomed", module=SABOTEUR, SABOTAGE="pause in training")
    job_id, mark = yard.train("teacher", name="squares", **TEACHER), yard.folder / "doomed" / "accident"
    wait_until(mark.exists, what="the middle of a slice")
    assert yard.record(job_id).saved
    yard.stop("doomed", signal.SIGKILL)
    yard.start("another")
    record = yard.ended(job_id)
    yard.stop("another")
    made = yard.serving().made["squares", "teacher"]
    assert made.card.sha256 == read_card(tmp_path / "teacher").sha256
    assert (made.card.method, made.card.data, made.card.num_steps) == ("base", "squares", 1024)
    assert record.attempts == 2
    assert yard.artifacts.files(f"jobs/{job_id}/states") == []
    assert next(yard.artifacts.read(str(record.rounds[0].samples))).startswith(b"\x89PNG")


def test_a_killed_training_of_a_classifier_ends_in_the_same_bits(yard: Yard, classes: Path, tmp_path: Path) -> None:
    options = ClassifierOptions(**CLASSIFIER)
    card = train_classifier(out=tmp_path / "classes", data=str(classes), options=options, device="cpu")
    yard.start("doomed", module=SABOTEUR, SABOTAGE="pause in training")
    job_id = yard.train("classifier", name="mine", **CLASSIFIER | {"data": "classes"})
    wait_until((yard.folder / "doomed" / "accident").exists, what="the middle of a slice")
    yard.stop("doomed", signal.SIGKILL)
    yard.start("another")
    record = yard.ended(job_id)
    yard.stop("another")
    made = yard.serving().classifiers["mine"]
    assert made.card.sha256 == card.sha256
    assert made.card.accuracy == card.accuracy
    assert record.rounds[0].metrics == {"accuracy": card.accuracy, "test_images": card.test_images}
    assert yard.store.delete(job_id, "classifiers/mine") == ("deleted", "")
    assert yard.serving().classifiers == {}
