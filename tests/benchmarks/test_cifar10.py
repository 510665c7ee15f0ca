import random
import shlex
import sys
from pathlib import Path

import pytest
import typer

from benchmarks import cifar10
from benchmarks.cifar10 import SCALES, Stage, groups, several, stages, work
from benchmarks.shared.parts import PART_BYTES, join, split
from models.cli.main import app


def test_its_files_can_be_moved_in_parts(tmp_path: Path) -> None:
    files = {"a/state.pt": 2 * PART_BYTES + 5, "a/exact": PART_BYTES, "small": 3}
    contents = {name: random.Random(name).randbytes(size) for name, size in files.items()}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    split(tmp_path)
    parts = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(parts) == 5
    assert max(file.stat().st_size for file in parts) <= PART_BYTES
    join(tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(contents)
    assert all((tmp_path / name).read_bytes() == content for name, content in contents.items())


def test_every_stage_is_a_command_that_can_be_typed(tmp_path: Path) -> None:
    root = typer.main.get_command(app)
    for scale in SCALES.values():
        for stage in stages(scale, data=tmp_path, out=tmp_path):
            name, *words = shlex.split(stage.command)
            command = root.commands[name]  # type: ignore[attr-defined]
            command.make_context(name, words, resilient_parsing=False)


def test_it_starts_nothing_when_the_time_is_over_and_nothing_twice(tmp_path: Path) -> None:
    todo = list(stages(SCALES["toy"], data=tmp_path, out=tmp_path))
    assert not work(todo, out=tmp_path, seconds=0)
    for stage in todo:
        stage.makes.parent.mkdir(parents=True, exist_ok=True)
        stage.makes.touch()
    assert work(todo, out=tmp_path, seconds=0)


def test_all_that_sample_are_one_process(tmp_path: Path) -> None:
    todo = list(stages(SCALES["gpu"], data=tmp_path, out=tmp_path))
    grouped = list(groups(todo))
    assert [stage for group in grouped for stage in group] == todo
    assert [len(group) for group in grouped] == [*10 * [1], 34]


def test_a_process_does_its_stages_in_turn_and_keeps_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fewstep() -> None:
        print(sys.argv)
        if sys.argv[1] == "sample":
            (tmp_path / "grid.png").touch()
        raise SystemExit(130 if sys.argv[1] == "distill" else 0)

    monkeypatch.setattr(cifar10, "fewstep", fewstep)
    monkeypatch.setattr(sys, "argv", [])
    several([Stage(tmp_path / "a.json", "evaluate x --json"), Stage(tmp_path / "grid.png", "sample x")])
    assert (tmp_path / "a.json").read_text() == "['fewstep', 'evaluate', 'x', '--json']\n"
    with pytest.raises(SystemExit, match="130"):
        several([Stage(tmp_path / "8-step", "distill x"), Stage(tmp_path / "b.json", "evaluate y")])
    assert not (tmp_path / "b.json").exists()
