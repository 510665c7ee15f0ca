"""That Redis's scripts are files which say what they do, and which a store runs."""

import importlib
import re
from pathlib import Path

import pytest

import core
from core.scripts import Script

ROOT = Path(core.__file__).parents[1]
PYTHON = ("app", "benchmarks", "core", "docker", "models", "tests", "worker")
FILES = sorted((ROOT / "core").rglob("*.lua"))
PARAMETER = re.compile(r"(?:KEYS|ARGV)\[\d+\]")


def loaded() -> list[str]:
    """The text of each script that a module beside a folder of scripts holds."""
    modules = {path for file in FILES for path in file.parents[1].glob("*.py") if path.stem != "__init__"}
    names = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules)
    constants = [value for name in names for value in vars(importlib.import_module(name)).values()]
    texts = (value.text if isinstance(value, Script) else value for value in constants)
    return [text for text in texts if isinstance(text, str) and "redis.call" in text]


def test_each_file_is_part_of_a_script_that_a_store_runs() -> None:
    assert FILES
    scripts = loaded()
    for file in FILES:
        assert any(file.read_text() in script for script in scripts), file


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parents[1].name}-{file.stem}")
def test_a_comment_at_the_top_names_the_parameters(file: Path) -> None:
    text = file.read_text()
    comment = re.match(r"(--.*\n)*", text)
    assert comment is not None
    assert re.match(r"-- [A-Z].+\.", comment[0].replace("\n-- ", " ")), "it says what it does"
    whole = [script for script in loaded() if script.endswith(text)] or [text]
    used = {parameter for script in whole for parameter in PARAMETER.findall(re.sub(r"--.*", "", script))}
    assert used <= set(PARAMETER.findall(comment[0]))


def test_no_lua_stands_in_python() -> None:
    files = {path for folder in PYTHON for path in (ROOT / folder).rglob("*.py")} - {Path(__file__)}
    assert [path for path in sorted(files) if "redis.call" in path.read_text()] == []
