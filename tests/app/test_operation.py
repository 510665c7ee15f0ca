"""What the API says of workers that are not there, and how it ends under a server that is not ours."""

import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import Api
from tests.jobs import create
from tests.problems import problem
from tests.processes import Process, free_port, module_of, wait_until


@pytest.mark.slow
def test_what_keeps_a_worker_from_starting_is_one_line_and_in_readiness(api: Api, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = api.environment | {
        "FEWSTEP_VAR": str(tmp_path),
        "FEWSTEP_CACHE": str(tmp_path / "file"),
        "FEWSTEP_DISTILLER_METRICS_PORT": "0",
    }
    worker = Process(*module_of("distiller"), environment=environment, log=tmp_path / "distiller.log")
    wait_until(lambda: not worker.alive, what="its end")
    assert worker.stop() == 1
    (line,) = worker.log.read_text().splitlines()
    assert "cannot start" in line
    checks = problem(api.client.get("/readyz"), 503)["checks"]
    for words in (line, checks["distillation"]["detail"]):
        assert f"{tmp_path / 'file'}: cannot be written to" in words
        assert "FEWSTEP_CACHE" in words


@pytest.mark.slow
def test_a_plain_uvicorn_ends_with_its_streams(api: Api) -> None:
    port = free_port()
    server = Process(
        "uvicorn", "app.main:app", "--port", str(port), environment=api.environment, log=api.folder / "plain.log"
    )
    wait_until(lambda: "Uvicorn running on" in server.log.read_text(), what="uvicorn started")
    begun, ended = threading.Event(), threading.Event()

    def follow() -> None:
        with httpx.stream("GET", f"http://127.0.0.1:{port}/distill-jobs/{create(api.jobs).id}/events") as response:
            for _ in response.iter_bytes():
                begun.set()
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(30)
    server.stop(signal.SIGTERM, timeout_s=30)
    assert ended.wait(30), "the stream had no proper end"
    thread.join()
