"""What ``make monitor`` says and writes before it becomes Prometheus; tests/e2e/operation runs that."""

import json
import socket
from pathlib import Path

import pytest

from core.errors import FewstepError
from core.local.monitor import SERVICE, prepare, write_targets
from core.settings import Settings


def test_without_a_service_that_ever_ran_it_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="make run"):
        prepare(Settings(var=tmp_path))


@pytest.mark.slow
def test_a_taken_port_is_replaced_and_the_targets_are_this_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_targets(tmp_path, SERVICE, {"127.0.0.1:8000": "api"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = prepare(Settings(var=tmp_path, prometheus_port=port))
    (listen,) = [option.rpartition("=")[2] for option in command if option.startswith("--web.listen-address")]
    assert listen != f"127.0.0.1:{port}"
    said = capsys.readouterr().out
    assert f"Port {port} is in use" in said
    assert f"http://{listen}" in said
    folder = tmp_path / "prometheus"
    assert (folder / "rules" / "alerts.yml").exists()
    entries = [entry for file in (folder / "targets").iterdir() for entry in json.loads(file.read_text())]
    assert {(entry["labels"]["job"], *entry["targets"]) for entry in entries} == {
        ("api", "127.0.0.1:8000"),
        ("prometheus", listen),
    }
