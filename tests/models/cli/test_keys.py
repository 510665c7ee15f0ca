"""``fewstep keys`` as an operator types it, also where nothing but the API is installed."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.access.edit import add
from core.access.keys import Scope, digest, find, read_keys


def keys(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a file, with modules that an API lacks out of reach."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'diffusers', 'numpy', 'PIL', 'tqdm')));"
        "from models.cli import run; run()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "keys", *arguments, "--file", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_is_shown_once_and_its_digest_kept(tmp_path: Path) -> None:
    file = tmp_path / "below" / "keys.json"
    made = keys(file, "add", "alice", "--scope", "generate", "--scope", "admin", "--rate", "20/second")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("fewstep_")
    assert secret not in file.read_text() + made.stderr
    assert file.stat().st_mode & 0o077 == 0
    (key,) = read_keys(file).keys
    assert (key.name, key.scopes, key.rate) == ("alice", frozenset({Scope.GENERATE, Scope.ADMIN}), "20/second")
    assert key.sha256 == digest(secret)
    assert find({key.sha256: key}, secret.encode()) == key
    assert find({key.sha256: key}, secret[:-1].encode()) is None
    listed = keys(file, "list").stdout
    assert listed.startswith("alice  admin,generate  rate: 20/second  made 2")
    assert key.sha256 not in listed
    assert keys(file, "revoke", "alice").returncode == 0
    assert json.loads(file.read_text()) == {"keys": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "alice"], "there is a key alice already; revoke it first"),
        (["add", "a b"], "NAME must be 1 to 64 letters, digits"),
        (["add", "bob", "--rate", "fast"], "--rate: must be a number in a time, such as 10/second"),
        (["add", "bob", "--rate", "0/second"], "--rate: must be a number in a time"),
        (["add", "bob", "--scope", "all"], "is not one of 'generate', 'distill', 'admin'"),
        (["add", "bob", "--images-per-day", "0"], "--images-per-day"),
        (["revoke", "bob"], "there is no key bob; there are alice"),
        (["add"], "Missing argument 'NAME'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_a_line_and_changes_nothing(tmp_path: Path, arguments: list[str], words: str) -> None:
    file = tmp_path / "keys.json"
    add(file, "alice", scopes=[Scope.GENERATE])
    before = file.read_bytes()
    ran = keys(file, *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Invalid JSON"),
        ('{"keys": [{"name": "a"}]}', "keys.0.sha256"),
        ('{"key": []}', "key: Extra inputs"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_text(content)
    ran = keys(file, "list")
    assert ran.returncode == 2
    assert str(file) in ran.stderr
    assert words in ran.stderr


def test_changes_at_once_are_all_there_and_no_reader_sees_half_of_one(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    add(file, "first", scopes=[Scope.GENERATE])
    with ThreadPoolExecutor(8) as threads:
        adding = [threads.submit(add, file, f"k{i}", scopes=[Scope.GENERATE]) for i in range(40)]
        while not all(one.done() for one in adding):
            read_keys(file)
    assert len({one.result() for one in adding}) == 40
    assert len(read_keys(file).keys) == 41
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["keys.json"]
