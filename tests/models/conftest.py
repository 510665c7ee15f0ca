"""The command line in this process, and the environment of one in its own."""

import os
import sys
from pathlib import Path
from typing import Protocol

import pytest

from models.cli.main import main


@pytest.fixture
def environment(tiny_family: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.getbasetemp() / "cache"
    return {**os.environ, "FEWSTEP_CHECKPOINTS": str(tiny_family.parent), "FEWSTEP_CACHE": str(cache)}


class Here(Protocol):
    def __call__(self, *arguments: str | Path, expect: int = 0, stderr: bool = False) -> str: ...


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command in this process, to save the imports; gives what it said on stdout, or stderr where so."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path, expect: int = 0, stderr: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["fewstep", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert (stop.value.code or 0) == expect, said.err
        return said.err if expect or stderr else said.out

    return run
