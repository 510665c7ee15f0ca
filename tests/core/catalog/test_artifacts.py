"""The same in a folder and in object storage, by a server of moto's."""

import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from core.catalog import artifacts
from core.catalog.artifacts import ArtifactStore, StorageAway
from core.errors import NotFound
from tests.processes import KEYS, free_port, hung_server, s3_server


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield f"{server.bucket}/artifacts"


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


class Refusing(BaseHTTPRequestHandler):
    """Answers anything as S3 does where it refuses; the path of the bucket says what."""

    def answer(self) -> None:
        code = self.path.split("/")[1].partition("?")[0].replace("-", "")
        status = {"slowdown": 503, "expiredtoken": 400, "accessdenied": 403}[code]
        name = {"slowdown": "SlowDown", "expiredtoken": "ExpiredToken", "accessdenied": "AccessDenied"}[code]
        body = f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Tells s3fs where S3 is."""
    s3fs = pytest.importorskip("s3fs")

    def point(port: int) -> None:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()

    yield point
    s3fs.S3FileSystem.clear_instance_cache()


def assert_away(store: ArtifactStore, tmp_path: Path, words: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.put(tmp_path / "file", "key"),
        lambda: store.folder("key"),
        lambda: store.fetch("key", tmp_path / "here"),
        lambda: list(store.read("key")),
        lambda: store.files("key"),
        lambda: store.remove("key"),
    ]
    for call in calls:
        with pytest.raises(StorageAway, match="object storage") as away:
            call()
        assert words in away.value.detail
        assert "127.0.0.1" not in away.value.detail
        assert away.value.retry_after


@pytest.mark.slow
def test_storage_that_hangs_or_is_not_there_is_said(
    endpoint: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hung_server() as port, monkeypatch.context() as short:
        short.setattr(artifacts, "_S3_LIMITS", artifacts._S3_LIMITS | {"read_timeout": 0.3})
        short.setattr(artifacts, "_UPLOAD_S", 1.5)
        endpoint(port)
        assert_away(ArtifactStore("s3://fewstep/x", cache=tmp_path), tmp_path, "does not answer in time")
    endpoint(free_port())
    assert_away(ArtifactStore("s3://fewstep/x", cache=tmp_path), tmp_path, "cannot be reached")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bucket", "words"), [("slow-down", "SlowDown"), ("expired-token", "refuses access"), ("access-denied", "expired")]
)
def test_storage_that_refuses_is_quoted(
    endpoint: Callable[[int], None], tmp_path: Path, bucket: str, words: str
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint(server.server_port)
    (tmp_path / "file").write_bytes(b"x")
    store = ArtifactStore(f"s3://{bucket}/x", cache=tmp_path)
    with pytest.raises(StorageAway, match="object storage") as away:
        store.put(tmp_path / "file", "key")
    assert words in away.value.detail
    server.shutdown()
    server.server_close()


def test_a_patient_store_waits_and_another_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore("memory://artifacts", cache=tmp_path / "cache")
    (tmp_path / "file").write_bytes(b"x")
    tries: list[str] = []

    def fail_twice(*_: object) -> list[str]:
        tries.append("try")
        if len(tries) < 3:
            raise OSError("the network is down")
        return []

    monkeypatch.setattr(store._fs, "find", fail_twice, raising=False)
    with pytest.raises(StorageAway):
        store.files("x")
    waits: list[StorageAway] = []
    assert store.patient(waits.append).files("x") == []
    assert len(waits) == 1
    assert store.impatient()._wait is None
