"""What is in a family goes by its name there, whichever command asks for it."""

import json
from pathlib import Path

import pytest

from core.catalog.card import SHIPPED_CHECKPOINTS, read_card
from core.catalog.classifier_card import read_classifier_card
from tests.models.conftest import Here

pytestmark = pytest.mark.slow


def test_a_classifier_and_a_judge_may_be_named_as_a_checkpoint_is(tmp_path: Path, here: Here) -> None:
    shipped = ("--checkpoints", SHIPPED_CHECKPOINTS)
    distill = ("distill", "--teacher", "digits/2-step", "--from", "2", "--to", "1", "--out", tmp_path, *shipped)
    cfd = ("--method", "cfd", "--iterations", "1", "--batch-size", "4", "--classifier")
    said = here(*distill, *cfd, "digits/1-step", expect=2)
    assert "digits/1-step is a checkpoint, not a classifier" in said
    here(*distill, *cfd, "digits/classifier")
    student = read_card(tmp_path / "1-step")
    classifier, judge = (
        read_classifier_card(SHIPPED_CHECKPOINTS / "digits" / name) for name in ("classifier", "judge")
    )
    assert student.hyper_parameters["classifier_sha256"] == classifier.sha256
    (figures,) = json.loads(
        here("evaluate", tmp_path / "1-step", "--judge", "digits/judge", "--n", "50", "--json", *shipped)
    )
    assert figures["extractor_sha256"] == judge.sha256
