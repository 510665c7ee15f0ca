from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.distillation.data_folder import DataFolder
from worker.facts import describe


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))


def test_the_names_of_classes_are_told(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "set" / name / "0.png")
    facts = describe(tmp_path / "set")
    assert (facts.images, facts.num_classes, facts.class_names) == (2, 2, ("cat", "dog"))


def test_a_link_to_nothing_hides_no_other_data(tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "set").mkdir()
    assert [name for name, _ in DataFolder(None, folder)._entries()] == ["gone", "set"]  # type: ignore[arg-type]
    assert "no such file or folder" in (describe(folder / "gone").error or "")
