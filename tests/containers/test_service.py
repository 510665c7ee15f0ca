"""What Compose starts is the service: well, watched, and the same pixels; and its own files cannot be changed."""

import json

import pytest

from tests.containers.conftest import note
from tests.containers.stack import OURS, Stack
from tests.processes import wait_until


def test_every_target_of_prometheus_is_up(stack: Stack) -> None:
    def health() -> dict[str, str]:
        targets = json.loads(stack.fetch("http://prometheus:9090/api/v1/targets"))["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    expected = dict.fromkeys(("api", "sampler", "distiller", "prometheus"), "up")
    wait_until(lambda: health() == expected, timeout_s=60, what="every target up")


def test_grafana_has_its_dashboards(stack: Stack) -> None:
    if "grafana" not in stack.services:
        note("not held: Grafana, whose image cannot be had here")
        pytest.skip("Grafana's image cannot be had here")
    found = json.loads(stack.fetch("http://admin:ofatest@grafana:3000/api/search?type=dash-db"))
    assert len(found) == 2


def test_the_picture_is_the_command_lines(stack: Stack) -> None:
    command = ["fewstep", "sample", "digits", "--steps", "1", "--n", "16", "--seed", "7", "--out", "/tmp/cli.png"]
    stack.execute("sampler", *command)
    assert stack.picture(n=16, steps=1, seed=7) == stack.execute("sampler", "cat", "/tmp/cli.png")


@pytest.mark.parametrize("service", OURS)
def test_what_is_not_a_volume_is_read_only(stack: Stack, service: str) -> None:
    def touch(path: str) -> str:
        """What went wrong, for the owner of everything."""
        done = stack.engine.try_run("exec", "--user", "0", stack.container(service), "touch", path)
        return done.stderr.decode()

    assert "Read-only file system" in touch("/opt/fewstep/app/new")
    assert "Read-only file system" in touch("/etc/new")
    stack.execute(service, "touch", "/tmp/new", "/var/lib/fewstep/new", "/data/new")
