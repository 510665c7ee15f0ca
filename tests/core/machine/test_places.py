"""Folders that a process needs, looked for before it takes work."""

import os
import tempfile
from pathlib import Path

import pytest

from core.errors import FewstepError
from core.machine.places import prepare_places
from core.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEWSTEP_CACHE", "TMPDIR"):
        monkeypatch.setenv(name, "")  # so that it is as before in the end
    monkeypatch.setattr(tempfile, "tempdir", None)


def no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)


def test_the_cache_is_a_setting_below_var_for_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings(var=tmp_path).cache == tmp_path / "cache"  # as an empty variable, too
    monkeypatch.delenv("FEWSTEP_CACHE")
    assert Settings(var=tmp_path).cache == tmp_path / "cache"
    monkeypatch.setenv("FEWSTEP_CACHE", "~/elsewhere")
    assert Settings(var=tmp_path).cache == Path.home() / "elsewhere"


def test_libraries_and_processes_started_later_know_the_cache(tmp_path: Path) -> None:
    prepare_places(Settings(var=tmp_path, cache=tmp_path / "here"), caches=True)
    assert os.environ["FEWSTEP_CACHE"] == str(tmp_path / "here")
    assert (tmp_path / "here").is_dir()


def test_without_a_folder_for_temporary_files_there_is_one_below_var(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_candidates(monkeypatch)
    prepare_places(Settings(var=tmp_path), caches=True)
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path / "tmp")


@pytest.mark.parametrize("temporary", [False, True])
def test_a_folder_that_cannot_be_written_to_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: bool
) -> None:
    (tmp_path / "file").touch()
    settings = Settings(var=tmp_path / "file", cache=tmp_path / "file" / "cache")
    if temporary:
        no_candidates(monkeypatch)
    with pytest.raises(FewstepError, match=r"file/.*cannot be written to") as caught:
        prepare_places(settings, caches=not temporary)
    assert ("FEWSTEP_VAR" if temporary else "FEWSTEP_CACHE") in caught.value.detail
    prepare_places(Settings(var=tmp_path), caches=False)
