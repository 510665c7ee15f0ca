"""What tests of jobs on workers alone share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalog.card import read_card
from models.cli.runs import distill_chain
from models.training.trainer import TrainConfig
from tests.e2e.yard import ITERATIONS, Yard, draw_pictures
from tests.methods import PD


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path_factory.mktemp("yard"), tiny_family)
    yield yard
    yard.close()


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> dict[str, str]:
    """Hash of the weights that the command line makes of what ``Yard.submit`` asks for, in one piece."""
    folder = tmp_path_factory.mktemp("plain")
    draw_pictures(folder / "squares")
    distill_chain(
        teacher=tiny_family / "8-step",
        from_steps=8,
        to_steps=2,
        out=folder / "family",
        method=PD,
        data=str(folder / "squares"),
        config=TrainConfig(iterations=ITERATIONS, batch_size=16, learning_rate=5e-5, decay="cosine"),
        device="cpu",
    )
    return {student.name: read_card(student).sha256 for student in (folder / "family").iterdir()}
