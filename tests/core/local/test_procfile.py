from configparser import RawConfigParser
from pathlib import Path

import pytest

from core.errors import FewstepError
from core.local.procfile import read_procfile, supervisor_configuration


def test_processes_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# what runs\n\nredis: python -m core.local.redis_server\napi: python -m app --opt 'a: b'\n")
    processes = read_procfile(path)
    assert list(processes.items()) == [
        ("redis", "python -m core.local.redis_server"),
        ("api", "python -m app --opt 'a: b'"),
    ]


def test_a_line_that_names_no_process(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("python -m app\n")
    with pytest.raises(FewstepError, match="not 'name: command': 'python -m app'"):
        read_procfile(path)


def test_no_procfile(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"cannot read .*/Procfile: No such file"):
        read_procfile(tmp_path / "Procfile")


def test_what_is_named_first_starts_first_and_stops_last(tmp_path: Path) -> None:
    processes = {"redis": "r", "sampler": "s", "api": "a"}
    text = supervisor_configuration(processes, var=tmp_path, lock=tmp_path / "lock", seconds_to_stop=70)
    parser = RawConfigParser()
    parser.read_string(text)
    programs = [section for section in parser.sections() if section.startswith("program:")]
    assert sorted(programs, key=lambda section: parser.getint(section, "priority")) == [
        "program:redis",
        "program:sampler",
        "program:api",
    ]
    assert {parser.get(program, "autorestart") for program in programs} == {"true"}
