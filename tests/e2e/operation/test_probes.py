"""The probes of the containers, asked of real processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.settings import Settings
from tests.e2e.stack import Stack
from tests.processes import ROOT, free_port


def probe(service: str, *, port: int, instead: int) -> int:
    """The exit code of a service's probe on another port than its own."""
    facts = yaml.safe_load(Path(ROOT / "docker-compose.yml").read_text())["services"][service]
    kind, python, *words = facts["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    assert any(f":{port}/" in word for word in words)
    words = [word.replace(f":{port}/", f":{instead}/") for word in words]
    return subprocess.run([sys.executable, *words], capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("service", ["api", "sampler"])
def test_a_probe_tells_a_process_that_serves_from_none(stack: Stack, service: str) -> None:
    ports = {"api": Settings().port, "sampler": Settings().sampler_metrics_port}
    assert probe(service, port=ports[service], instead=stack.ports[service]) == 0
    assert probe(service, port=ports[service], instead=free_port()) != 0
