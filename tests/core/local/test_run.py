"""The launcher over real processes, which stand in for the service."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.local.run import redis_port
from tests.processes import free_port

pytestmark = pytest.mark.slow

STAND_IN = """
import http.server, os, signal, sys, time
name = sys.argv[1]

def note(what):
    with open("events", "a") as file:
        file.write(f"{name} {what} {os.getpid()}\\n")

def stop(*_):
    time.sleep(0.3)
    note("stopped")
    os._exit(0)

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = not os.path.exists("not_ready")
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b'{"detail": "not ready: sampling"}')

signal.signal(signal.SIGTERM, stop)
note("started")
print(name, "runs with", os.environ.get("FEWSTEP_REDIS_URL"))
if name == "api":
    http.server.HTTPServer(("127.0.0.1", int(os.environ["FEWSTEP_PORT"])), Ready).serve_forever()
while True:
    signal.pause()
"""


class Run:
    """One run of the launcher in a folder of its own."""

    def __init__(self, folder: Path, *processes: str, **settings: str) -> None:
        self.folder = folder
        (folder / "stand_in.py").write_text(STAND_IN)
        (folder / "Procfile").write_text("".join(f"{name}: python stand_in.py {name}\n" for name in processes))
        self.environment = {**os.environ, "FEWSTEP_PORT": str(free_port())}
        self.environment |= {"FEWSTEP_SAMPLER_METRICS_PORT": "0", "FEWSTEP_DISTILLER_METRICS_PORT": "0"}
        self.environment |= {f"FEWSTEP_{name}": value for name, value in settings.items()}
        self.launchers: list[subprocess.Popen[str]] = []

    def launch(self) -> subprocess.Popen[str]:
        with (self.folder / "output").open("w") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "core.local.run"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self.launchers.append(launcher)
        return launcher

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def events(self) -> list[str]:
        return (self.folder / "events").read_text().splitlines() if (self.folder / "events").exists() else []

    def pids(self, name: str) -> list[int]:
        return [int(event.split()[2]) for event in self.events if event.startswith(f"{name} started")]

    def until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def until_ready(self) -> None:
        self.until(lambda: "Fewstep is ready at" in self.output)

    def nothing_lives(self) -> bool:
        """Every process holds a lock on this file for as long as it lives."""
        with (self.folder / "var" / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def supervisor(self) -> int:
        return int((self.folder / "var" / "supervisor.pid").read_text())


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*processes: str, **settings: str) -> Run:
        runs.append(Run(tmp_path, *processes, **settings))
        return runs[-1]

    yield make
    for run in runs:
        for launcher in run.launchers:
            launcher.terminate()
            launcher.wait()
        run.until(run.nothing_lives)


def test_redis_keeps_its_port_and_each_folder_has_its_own(tmp_path: Path) -> None:
    ports = [redis_port(tmp_path / name / "var") for name in ("one", "two", "one")]
    assert ports[0] == ports[2] != ports[1]


def test_restarts_what_died_and_stops_redis_last_on_ctrl_c(make_run: Callable[..., Run]) -> None:
    run = make_run("redis", "sampler", "api")
    launcher = run.launch()
    run.until_ready()
    assert f"Redis will be at redis://127.0.0.1:{redis_port(run.folder / 'var')}/0" in run.output
    assert f"curl -sS http://127.0.0.1:{run.environment['FEWSTEP_PORT']}/generate" in run.output

    run.until(lambda: run.pids("sampler"))
    os.kill(run.pids("sampler")[0], signal.SIGKILL)
    run.until(lambda: len(run.pids("sampler")) == 2)
    assert not run.nothing_lives()

    os.killpg(launcher.pid, signal.SIGINT)  # what a terminal does
    assert launcher.wait(30) == 0
    assert [event.split()[0] for event in run.events if " stopped " in event] == ["api", "sampler", "redis"]
    assert run.nothing_lives()
    assert "Traceback" not in run.output
    lines = run.output.splitlines()
    assert (
        sum(re.match(r"sampler +\| sampler runs with redis://127.0.0.1:\d+/0", line) is not None for line in lines) == 2
    )


def test_with_a_redis_of_ones_own_none_is_started_and_a_taken_metrics_port_is_replaced(
    make_run: Callable[..., Run],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = make_run("redis", "api", REDIS_URL="redis://elsewhere:1234/5", SAMPLER_METRICS_PORT=str(port))
        launcher = run.launch()
        run.until_ready()
    launcher.terminate()
    assert launcher.wait(30) == 0
    assert run.pids("redis") == []
    assert re.search(r"^api +\| api runs with redis://elsewhere:1234/5$", run.output, re.MULTILINE)
    taken_instead = re.search(rf"Port {port} is in use; /metrics of the sampler takes (?!{port})(\d+)", run.output)
    assert taken_instead
    told = json.loads((run.folder / "var" / "prometheus" / "targets" / "service.json").read_text())
    assert {entry["labels"]["job"]: entry["targets"] for entry in told} == {
        "api": [f"127.0.0.1:{run.environment['FEWSTEP_PORT']}"],
        "sampler": [f"127.0.0.1:{taken_instead[1]}"],
    }


def test_a_port_in_use_is_one_line_and_exit_code_2(make_run: Callable[..., Run]) -> None:
    run = make_run("api")
    with socket.create_server(("127.0.0.1", int(run.environment["FEWSTEP_PORT"]))):
        assert run.launch().wait(30) == 2
    assert run.output.count("\n") == 1
    assert run.environment["FEWSTEP_PORT"] in run.output
    assert "PORT=" in run.output
    assert run.events == []


@pytest.mark.parametrize("port", ["abc", "70000", ""])
def test_a_port_that_is_none_is_one_line_and_exit_code_2(make_run: Callable[..., Run], port: str) -> None:
    run = make_run("api", PORT=port)
    (run.folder / "var").mkdir()
    (run.folder / "var" / "lock").touch()
    assert run.launch().wait(30) == 2
    assert run.output.count("\n") == 1
    assert "FEWSTEP_PORT" in run.output


def test_a_second_run_in_the_same_folder_is_refused(make_run: Callable[..., Run]) -> None:
    run = make_run("api")
    first = run.launch()
    run.until_ready()
    assert run.launch().wait(30) == 2
    assert "already running" in run.output
    assert f"kill {first.pid}" in run.output
    assert first.poll() is None
    assert len(run.pids("api")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's signal on a parent's death")
@pytest.mark.parametrize("killed", ["launcher", "supervisor"])
def test_what_a_kill_leaves_behind_is_not_in_the_way(make_run: Callable[..., Run], killed: str) -> None:
    run = make_run("redis", "api")
    launcher = run.launch()
    run.until_ready()
    # A process tells of itself once it runs, which may be after the API is ready.
    run.until(lambda: len(run.pids("api")) == len(run.pids("redis")) == 1)
    os.kill(launcher.pid if killed == "launcher" else run.supervisor(), signal.SIGKILL)
    assert launcher.wait(30) == (-signal.SIGKILL if killed == "launcher" else 1)
    run.launch()
    run.until_ready()
    run.until(lambda: len(run.pids("api")) == len(run.pids("redis")) == 2)
    stopped_in_order = [event.split()[0] for event in run.events if " stopped " in event]
    assert stopped_in_order == (["api", "redis"] if killed == "launcher" else [])


def test_says_what_it_waits_for(make_run: Callable[..., Run]) -> None:
    run = make_run("api")
    (run.folder / "not_ready").touch()
    run.launch()
    run.until(lambda: "Waiting: not ready: sampling" in run.output)
    assert "Fewstep is ready" not in run.output
    (run.folder / "not_ready").unlink()
    run.until_ready()


def test_a_process_that_keeps_dying_is_named_with_its_log(make_run: Callable[..., Run]) -> None:
    run = make_run("api")
    with (run.folder / "Procfile").open("a") as procfile:
        procfile.write("sampler: python -c 'import sys; sys.exit(\"no luck\")'\n")
    launcher = run.launch()
    run.until(lambda: "sampler has died 3 times; its log is var/log/sampler.log" in run.output)
    assert re.search(r"^sampler +\| no luck$", run.output, re.MULTILINE)
    assert "no luck" in (run.folder / "var/log/sampler.log").read_text()
    launcher.terminate()
    assert launcher.wait(30) == 0
