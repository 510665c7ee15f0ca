"""The same in a folder and in object storage, by a server of moto's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalog.artifacts import ArtifactStore
from core.errors import NotFound
from tests.processes import Process, free_port, wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket of a server that is told to s3fs as one tells it: by the environment."""
    import s3fs  # type: ignore[import-untyped]

    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "moto.log"
    server = Process("moto.server", "-p", str(port), environment=KEYS, log=log)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}).items():
            patch.setenv(name, value)
        wait_until(lambda: not server.alive or "Running on" in log.read_text(), what="S3 listening")
        s3fs.S3FileSystem().mkdir("fewstep")
        yield "s3://fewstep/artifacts"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return ArtifactStore(str(tmp_path / "artifacts"), cache=tmp_path / "cache")
    return ArtifactStore(f"{request.getfixturevalue('s3_url')}/{tmp_path.name}", cache=tmp_path / "cache")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a folder."""
    folder = tmp_path / "1-step"
    (folder / "unet").mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    (folder / "unet" / "weights").write_bytes(os.urandom(3 << 20))
    return folder


def test_a_folder_comes_back_as_it_was(store: ArtifactStore, checkpoint: Path) -> None:
    store.put(checkpoint, "jobs/a/1-step")
    assert store.files("jobs/a/1-step") == ["card.json", "unet/weights"]
    for _ in range(2):
        folder = store.folder("jobs/a/1-step")
        assert (folder / "card.json").read_text() == "{}"
        assert (folder / "unet" / "weights").read_bytes() == (checkpoint / "unet" / "weights").read_bytes()
    assert b"".join(store.read("jobs/a/1-step/unet/weights")) == (checkpoint / "unet" / "weights").read_bytes()


def test_a_file_comes_back_as_it_was(store: ArtifactStore, checkpoint: Path, tmp_path: Path) -> None:
    store.put(checkpoint / "unet" / "weights", "jobs/a/state")
    store.fetch("jobs/a/state", tmp_path / "here" / "state")
    assert (tmp_path / "here" / "state").read_bytes() == (checkpoint / "unet" / "weights").read_bytes()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["state"]


def test_what_is_not_there_is_said(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.folder("jobs/nobody")
    with pytest.raises(NotFound):
        list(store.read("jobs/nobody"))
    with pytest.raises(NotFound):
        store.fetch("jobs/nobody", tmp_path / "state")
    assert list(tmp_path.glob("state*")) == []
    assert store.files("jobs/nobody") == []
    store.remove("jobs/nobody")


def test_what_is_removed_is_gone_and_nothing_else(store: ArtifactStore, checkpoint: Path) -> None:
    for job in ("a", "ab"):
        store.put(checkpoint, f"jobs/{job}/1-step")
    store.folder("jobs/a/1-step")
    store.remove("jobs/a")
    assert store.files("jobs/a") == []
    assert store.files("jobs/ab") == ["1-step/card.json", "1-step/unet/weights"]
    with pytest.raises(NotFound):
        store.folder("jobs/a/1-step")


def test_another_process_sees_it_at_once(store: ArtifactStore, checkpoint: Path) -> None:
    assert store.files("jobs/a") == []
    store.put(checkpoint / "card.json", "jobs/a/card.json")
    assert store.files("jobs/a") == ["card.json"]


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "artifacts"), cache=tmp_path / "cache")
    (tmp_path / "artifacts" / "state").mkdir(parents=True)  # a folder in the way
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(OSError, match="state"):
        store.put(tmp_path / "source", "state")
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["state"]
