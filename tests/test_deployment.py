"""The containers run what the Procfile and the tests run, and their files are what Docker understands."""

import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.local.procfile import read_procfile
from core.local.redis_server import DURABLE
from core.local.run import SECONDS_BEYOND_DEADLINE
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
PROCFILE = read_procfile(ROOT / "Procfile")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def tool(name: str, *arguments: str) -> None:
    """Run a checker that is installed beside this interpreter."""
    done = subprocess.run([Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def settings_of(service: dict[str, Any]) -> Settings:
    """The settings that its environment gives, which must all be there."""
    prefix = "FEWSTEP_"
    environment = service["environment"].items()
    given = {name.removeprefix(prefix).lower(): value for name, value in environment if name.startswith(prefix)}
    assert set(given) <= set(Settings.model_fields)
    return Settings.model_validate({name: value for name, value in given.items() if "$" not in value})


def test_the_compose_file_is_of_the_specification() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE))


def test_the_dockerfile_passes_hadolint() -> None:
    tool("hadolint", str(ROOT / "docker" / "Dockerfile"))


def test_containers_run_the_commands_of_the_procfile() -> None:
    commands = {name: shlex.join(service["command"]) for name, service in OURS.items()}
    expected = {name: command for name, command in PROCFILE.items() if name != "redis"}
    assert commands == expected | {f"{name}-gpu": expected[name] for name in ("sampler", "distiller")}
    for image_command in re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE):
        assert shlex.join(json.loads(image_command)) in expected.values()


def test_every_target_exists_and_every_image_is_of_a_version() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    targets = {service["build"]["target"] for service in OURS.values()}
    assert targets == {name for source, name in stages if source == "base"}
    assert {source for source, name in stages if name not in targets} == {"scratch", "${BASE_IMAGE}"}
    base = re.findall(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    for image in [*base, *(service["image"] for service in SERVICES.values() if "build" not in service)]:
        assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_redis_keeps_what_it_accepted_as_it_does_without_containers() -> None:
    server, *flags = SERVICES["redis"]["command"]
    options = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    assert server == "redis-server"
    assert {name: value for name, value in options.items() if name not in ("requirepass", "maxmemory")} == DURABLE


def test_what_is_stopped_has_the_time_that_it_needs() -> None:
    for service in OURS.values():
        settings = settings_of(service)
        grace = re.fullmatch(r"\$\{STOP_GRACE_PERIOD:-(\d+)s\}", service["stop_grace_period"])
        assert grace is not None
        assert int(grace[1]) >= math.ceil(settings.drain_s + settings.deadline_s) + SECONDS_BEYOND_DEADLINE
    assert settings_of(SERVICES["api"]).drain_s > 0


def test_only_the_api_and_grafana_are_published_and_no_password_has_a_default() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api", "grafana"}
    passwords = re.findall(r"\$\{[A-Z_]*PASSWORD[^}]*\}", COMPOSE_FILE.read_text())
    assert len(passwords) >= 4
    assert all(":?" in password for password in passwords)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_restarts_is_probed_and_has_a_limit(service: str) -> None:
    facts = SERVICES[service]
    assert facts["restart"] == "unless-stopped"
    assert facts["healthcheck"]["test"]
    assert facts["deploy"]["resources"]["limits"]["memory"]


def test_what_a_build_may_be_given_is_handed_on_and_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    for service in OURS.values():
        assert set(service["build"]["args"]) == set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
        assert all(f"`{name}`" in operations for name in service["build"]["args"])


def test_only_volumes_and_tmp_can_be_written() -> None:
    (volume,) = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"FEWSTEP_VAR={volume}" in DOCKERFILE
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]


def test_a_job_that_a_worker_cannot_hold_is_refused() -> None:
    gib = re.fullmatch(r"\$\{WORKER_MEMORY:-(\d+)g\}", SERVICES["distiller"]["deploy"]["resources"]["limits"]["memory"])
    most = re.fullmatch(r"\$\{\w+:-(\d+)\}", SERVICES["api"]["environment"]["FEWSTEP_MAX_JOB_MEMORY_BYTES"])
    assert gib is not None
    assert most is not None
    assert int(most[1]) < int(gib[1]) * 2**30


def test_workers_on_gpus_are_found_under_the_names_of_those_on_processors() -> None:
    for name in ("sampler", "distiller"):
        assert SERVICES[name]["profiles"] == ["cpu"]
        on_gpu = SERVICES[f"{name}-gpu"]
        assert on_gpu["profiles"] == ["gpu"]
        assert on_gpu["networks"]["default"]["aliases"] == [name]
        (device,) = on_gpu["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


def test_prometheus_and_grafana_find_their_files_and_prometheus_its_targets() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"] if mount.startswith("./")]
    assert len(mounts) == 4
    assert all((ROOT / mount.partition(":")[0]).is_dir() for mount in mounts)
    targets = json.loads((ROOT / "docker" / "prometheus" / "targets" / "compose.json").read_text())
    found = {target for group in targets for target in group["targets"] if "localhost" not in target}
    ports = {"api": Settings().port, "sampler": Settings().sampler_metrics_port}
    ports |= {"distiller": Settings().distiller_metrics_port}
    assert found == {f"{name}:{port}" for name, port in ports.items()}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (\w+)$", operations.partition("\n## Runbook\n")[2], re.MULTILINE)
    rules = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules" / "alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert sorted(headings) == sorted(alert["alert"] for alert in alerts)
    for alert in alerts:
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_every_variable_of_the_compose_file_is_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    variables = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text()))
    assert {name for name in variables if f"`{name}`" not in operations} == set()


def test_the_image_gets_all_that_it_copies_and_nothing_else() -> None:
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert all((ROOT / line.removeprefix("!")).exists() for line in kept if line.startswith("!"))
    packages = re.search(r"packages = (\[.*\])", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    assert {f"!{package}" for package in json.loads(packages[1])} <= set(kept)
