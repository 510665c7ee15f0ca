"""What can be known is said before the first iteration, in one line; what was done is kept."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.catalog.card import read_card
from core.catalog.classifier_card import read_classifier_card
from models.distillation import teacher
from tests.models.cli.test_main import TINY_TRAINING
from tests.models.conftest import Here

pytestmark = pytest.mark.slow

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)
BLACK, WHITE = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)


def write(folder: Path, **classes: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> Path:
    """A folder of grey pictures by class."""
    for name, pictures in classes.items():
        (folder / name).mkdir(parents=True)
        for row, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(folder / name / f"{row}.png")
    return folder


@pytest.fixture
def square(tmp_path: Path) -> Path:
    return write(tmp_path / "square", cat=list(PIXELS[:4]), dog=list(PIXELS[4:]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --data {square} --out {tmp}/file/teacher", "--out: {tmp}/file/teacher cannot be written (Not a dir"),
        ("train --data {square} --out {tmp}/f/t", "--size: pictures of 28x28 cannot be halved 3 times"),
        ("train --data {square} --out {tmp}/f/t --multipliers=", "--multipliers: a network has at least one level"),
        ("train --data {square} --out {tmp}/f/t --multipliers 1 --channels 33", "--channels: 33 channels cannot be"),
        ("train --data {square} --out {tmp}/f/t --image-column a", "--image-column: {square} has no columns; Parquet"),
        ("train --data {square} --out {tmp}/f/t --label-column a", "--label-column: {square} has no columns; Parquet"),
        ("train-classifier --data {square} --out {tmp}/file/c", "--out: {tmp}/file/c cannot be written (Not a dir"),
        ("train-classifier --data {square}/cat --out {tmp}/c", "--data: 'cat': its pictures have no labels"),
        ("train-classifier --data {square} --out {tmp}/c --test nowhere", "--test: nowhere: no such file or folder"),
        ("train-classifier --data {square} --out {tmp}/c --test digits", "--test: 'digits' has images of (1, 16, 16)"),
        ("train-classifier --data {square} --size 2 --out {tmp}/c", "--data: the network cannot take pictures of 2x2"),
        (
            "distill --teacher tiny/8-step --from 8 --to 4 --out {tmp}/file",
            "--out: {tmp}/file/4-step cannot be written",
        ),
        ("sample tiny --steps 1 --out {tmp}/file/a.png", "--out: {tmp}/file/a.png cannot be written (Not a directory)"),
        ("sample tiny --steps 1 --out {tmp}/folder.png", "--out: {tmp}/folder.png cannot be written (Is a directory)"),
        ("import {tmp}/file --out {tmp}/file/teacher", "--out: {tmp}/file/teacher cannot be written (Not a directory)"),
        ("distill --teacher nobody/x --from 8 --to 4 --out {tmp}/a", "--teacher: there is no model 'nobody/x'; there"),
        (
            "distill --teacher tiny --from 8 --to 4 --out {tmp}/a",
            "--teacher: 'tiny' is a family; name one of its checkpoints: tiny/teacher, tiny/8-step, ",
        ),
        ("train --init nobody/x --out {tmp}/a", "--init: there is no model 'nobody/x'"),
        (
            "sample tiny --steps 1 --out a.png --noise ~no-one-of-that-name/a.npy",
            "--noise: ~no-one-of-that-name/a.npy: can",
        ),
    ],
)
def test_what_can_be_known_is_said_before_the_first_iteration(
    arguments: str, message: str, square: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.png").mkdir()
    densenet = ("--architecture", "densenet-small") if "--size 2" in arguments else ()
    said = here(*arguments.format(square=square, tmp=tmp_path).split(), *densenet, expect=2)
    assert said.startswith(f"fewstep: {message.format(square=square, tmp=tmp_path)}"), said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("*.state.pt"))


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may become larger, as where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_before_the_first_iteration(tmp_path: Path, square: Path, here: Here) -> None:
    train = ("train", "--out", tmp_path / "f/teacher", "--data", square, "--iterations", "3", *TINY_TRAINING)
    with full_disk(10_000):
        _, said = here(*train, expect=2).splitlines()
    assert said.startswith(f"fewstep: {tmp_path}/f/teacher.state.pt: File too large: ")
    with full_disk(10_000):
        said = here("sample", "tiny/1-step", "--n", "64", "--out", tmp_path / "a.npy", expect=2)
    assert said == f"fewstep: {tmp_path}/a.npy: File too large: 12,288 bytes are needed\n"
    with full_disk(100):
        said = here("sample", "tiny/1-step", "--out", tmp_path / "a.png", expect=2)
    assert said == f"fewstep: {tmp_path}/a.png: File too large\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    assert list((tmp_path / "f").iterdir()) == []


def test_what_a_run_made_is_kept_if_only_its_last_step_fails(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "f" / "teacher"
    command = ("train", "--out", out, "--iterations", "2", *TINY_TRAINING)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(teacher, "save_checkpoint", full)
        said = here(*command, expect=2)
    assert f"{out} cannot be written (No space left on device); what was trained is kept in {out}.state.pt" in said
    here(*command)
    assert read_card(out).hyper_parameters["iterations"] == 2
    assert not out.with_name("teacher.state.pt").exists()


def test_home_is_expanded_wherever_a_path_is_taken(
    tmp_path: Path, tiny_family: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "families").symlink_to(tiny_family.parent)
    np.save(tmp_path / "noise.npy", np.zeros((1, 3, 8, 8), np.float32))
    here("sample", "~/families/tiny/1-step", "--out=~/a.png", "--noise=~/noise.npy")
    here("sample", "tiny/1-step", "--out=~/b.png", "--checkpoints=~/families")
    assert (tmp_path / "a.png").is_file()
    assert (tmp_path / "b.png").is_file()
    monkeypatch.setenv("FEWSTEP_CACHE", "~/cache")
    write(tmp_path / "set", cat=[BLACK] * 5, dog=[WHITE] * 5)
    small = ("--iterations", "1", "--batch-size", "2", "--architecture", "resnet-small")
    here("train-classifier", "--data=~/set", "--test=~/set", "--out=~/classifier", *small)
    assert (tmp_path / "classifier" / "classifier.json").is_file()
    assert list((tmp_path / "cache").glob("*.npy"))


def test_classes_of_test_data_are_matched_by_name(tmp_path: Path, here: Here) -> None:
    grey = np.full((8, 8), 128, np.uint8)
    data = write(tmp_path / "data", cat=[BLACK] * 8, dog=[grey] * 8, fox=[WHITE] * 8)
    test = write(tmp_path / "test", cat=[BLACK] * 4, fox=[WHITE] * 4)
    command = ("train-classifier", "--data", data, "--shift", "0", "--batch-size", "24", "--learning-rate", "1e-2")
    small = ("--architecture", "resnet-small", "--iterations", "25")
    assert "right about 100.00% of 8" in here(*command, *small, "--test", test, "--out", tmp_path / "c")
    assert read_classifier_card(tmp_path / "c").class_names == ("cat", "dog", "fox")
    (test / "fox").rename(test / "wolf")
    said = here(*command, *small, "--test", test, "--out", tmp_path / "d", expect=2)
    assert said.splitlines()[-1] == (
        "fewstep: --test: 'test' has classes that 'data' does not know: wolf; it knows cat, dog, fox"
    )


def test_a_teacher_is_taught_its_own_classes(tmp_path: Path, here: Here) -> None:
    data = write(tmp_path / "data", cat=[BLACK] * 2, dog=[BLACK] * 2, fox=[WHITE] * 2)
    fewer = write(tmp_path / "fewer", cat=[BLACK] * 2, fox=[WHITE] * 2)
    other = write(tmp_path / "other", cat=[BLACK] * 2, wolf=[WHITE] * 2)
    teacher = tmp_path / "f" / "teacher"
    tiny = ("--iterations", "1", "--batch-size", "2")
    here("train", "--data", data, "--out", teacher, "--class-conditional", *TINY_TRAINING, "--iterations", "1")
    for command in (
        ("train", "--init", teacher, "--warmup", "0", "--out", tmp_path / "g" / "teacher"),
        ("distill", "--teacher", teacher, "--from", "2", "--to", "1", "--out", tmp_path / "g"),
    ):
        said = here(*command, *tiny, "--data", other, expect=2)
        assert "--data: 'other' has classes that the checkpoint does not know: wolf" in said
        here(*command, *tiny, "--data", fewer)
    assert read_card(tmp_path / "g" / "teacher").class_names == ("cat", "dog", "fox")


def test_a_classifier_of_other_classes_serves_without_the_dataset_term(tmp_path: Path, here: Here) -> None:
    data = write(tmp_path / "data", cat=[BLACK] * 5, dog=[WHITE] * 5)
    other = write(tmp_path / "other", cat=[BLACK] * 2, fox=[WHITE] * 2)
    small = ("--iterations", "1", "--batch-size", "2")
    here("train-classifier", "--data", data, "--out", tmp_path / "c", "--architecture", "resnet-small", *small)
    here("train", "--data", data, "--out", tmp_path / "f" / "teacher", *TINY_TRAINING, "--iterations", "1")
    command = ("distill", "--teacher", tmp_path / "f/teacher", "--from", "2", "--to", "1", "--out", tmp_path / "f")
    cfd = ("--method", "cfd", "--classifier", tmp_path / "c", "--data", other, *small)
    said = here(*command, *cfd, expect=2)
    assert "--classifier: 'other' has classes that the classifier does not know: fox" in said.replace(
        f"{tmp_path}/", ""
    )
    assert "It serves with a dataset_weight of 0" in said
    here(*command, *cfd, "--dataset-weight", "0")


def test_the_data_are_said_in_one_line_before_training(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data" / "train", cat=[BLACK] * 2, dog=[WHITE] * 2).parent
    (data / "notes.txt").write_text("no picture")
    command = ("train", "--data", data, "--out", tmp_path / "f" / "teacher", "--iterations", "3", *TINY_TRAINING)
    first, *progress = here(*command, stderr=True).splitlines()
    assert first == (
        "data: 4 pictures of 8x8, grey, 2 classes (cat 2, dog 2), split train; left out: "
        "files that are no pictures: 1 (notes.txt)"
    )
    assert len(progress) <= 2, "a line at the beginning and one at the end: a log gets one a minute"
    assert "3/3 loss" in progress[-1]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert here(*command[:4], tmp_path / "g" / "teacher", *command[5:], stderr=True) == f"{first}\n"


def test_a_bare_command_prints_its_help_as_help(here: Here) -> None:
    said = here()
    assert said.startswith("\n Usage: ") or said.startswith("Usage: ")
    assert "train-classifier" in said
    assert said == here("--help")
