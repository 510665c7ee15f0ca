from pathlib import Path

from core.local.follow import follow


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_whole_lines_since_the_last_time(tmp_path: Path) -> None:
    path = tmp_path / "log" / "api.log"
    path.parent.mkdir()
    append(path, "of an earlier run\n")
    lines = follow(path)
    assert next(lines) == []
    append(path, "one\ntwo\nthr")
    assert next(lines) == ["one", "two"]
    append(path, "ee\n")
    assert next(lines) == ["three"]
    assert next(lines) == []


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "new" / "api.log"
    lines = follow(path)
    append(path, "one\n")
    assert next(lines) == ["one"]


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    lines = follow(path)
    append(path, "last of the old\n")
    path.rename(tmp_path / "api.log.1")
    append(path, "first of the new\n")
    assert next(lines) + next(lines) == ["last of the old", "first of the new"]


def test_between_the_old_file_and_the_new_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    lines = follow(path)
    append(path, "old\n")
    path.rename(tmp_path / "api.log.1")
    assert next(lines) == ["old"]
    append(path, "new\n")
    assert next(lines) + next(lines) == ["new"]
