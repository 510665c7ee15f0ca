"""The manifests are what Kubernetes and KEDA understand, and run what the Procfile and Compose run."""

import math
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core.local.procfile import read_procfile
from core.local.redis_server import DURABLE
from core.local.run import SECONDS_BEYOND_DEADLINE
from core.queues import Queue
from core.settings import Settings
from tests.docker.kustomize import Resource, build, name_of, pod_of
from tests.monitor import promtool
from tests.processes import ROOT

HERE = ROOT / "docker" / "kubernetes"
VERSION = "1.31"
"""Of Kubernetes, the oldest that these are checked for."""
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROCFILE = read_procfile(ROOT / "Procfile")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
OVERLAYS = {name: build(HERE / "overlays" / name) for name in ("trial", "production")}
RESOURCES = [pytest.param(one, id=f"{name}-{'-'.join(name_of(one))}") for name, all in OVERLAYS.items() for one in all]
OURS = {"trial": {"api", "sampler", "distiller"}, "production": {"api", "sampler", "distiller", "webhooks"}}
OF_COMPOSE_ALONE = {
    "trial": {"FEWSTEP_API_KEYS_FILE", "FEWSTEP_WEBHOOK_SECRET"},
    "production": {"FEWSTEP_ALLOW_ANONYMOUS"},
}
"""Variables; and that of tracing, which is off there by default."""
UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 1e-3}
OF_COMPOSE = {"k": 2**10, "m": 2**20, "g": 2**30}


def of(overlay: str, kind: str) -> dict[str, Resource]:
    return {one["metadata"]["name"]: one for one in OVERLAYS[overlay] if one["kind"] == kind}


def container_of(resource: Resource) -> dict[str, Any]:
    (container,) = pod_of(resource)["containers"]
    assert isinstance(container, dict)
    return container


def quantity(given: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(Mi|Gi|m|)", str(given)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS.get(unit, 1)


def settings_of(overlay: str) -> Settings:
    data = of(overlay, "ConfigMap")["settings"]["data"]
    given = {name.removeprefix("FEWSTEP_").lower(): value for name, value in data.items()}
    assert set(given) <= set(Settings.model_fields)
    return Settings.model_validate(given)


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_is_of_the_schema(resource: Resource) -> None:
    if resource["kind"] == "ScaledObject":
        from cloudcoil.models.keda.v1alpha1 import ScaledObject  # a second, which no other test is to wait

        # Its models pass over what they do not know, so that nothing may be missing of what they give back.
        known = ScaledObject.model_validate(resource).model_dump(by_alias=True, exclude_unset=True, mode="json")
        assert known == resource
    else:
        kubernetes_validate.validate(resource, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_run_the_commands_of_the_procfile_with_the_images_of_compose(overlay: str) -> None:
    deployments = of(overlay, "Deployment")
    assert set(deployments) == OURS[overlay]
    suffix = "-gpu" if overlay == "production" else ""
    for name, deployment in deployments.items():
        container = container_of(deployment)
        on_gpu = suffix if name in ("sampler", "distiller") else ""
        service = COMPOSE[name + on_gpu]
        assert shlex.join(container["command"]) == PROCFILE[name] == shlex.join(service["command"])
        image, _, tag = container["image"].rpartition(":")
        assert image.rpartition("/")[2] == service["image"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)
        environment = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        shared = of(overlay, "ConfigMap")["settings"]["data"]
        secret = {one["name"] for one in container["env"] if "valueFrom" in one}
        only_of_compose = OF_COMPOSE_ALONE[overlay] | {"FEWSTEP_OTLP_ENDPOINT"}
        assert set(environment) | set(shared) | secret == set(service["environment"]) - only_of_compose
        assert secret >= {"FEWSTEP_REDIS_URL"}
        for key in set(environment) - {"FEWSTEP_API_KEYS_FILE"}:
            assert environment[key] in service["environment"][key]
        limit = service["deploy"]["resources"]["limits"]["memory"]
        (number, unit) = re.findall(r"(\d+)([gm])", limit)[-1]
        assert quantity(container["resources"]["limits"]["memory"]) == int(number) * OF_COMPOSE[unit]
        assert container["resources"]["limits"].get("nvidia.com/gpu") == ("1" if on_gpu else None)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_have_no_rights_and_write_into_volumes_alone(overlay: str) -> None:
    (volume,) = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    (user,) = re.findall(r"useradd --uid (\d+)", DOCKERFILE)
    for resource in (*of(overlay, "Deployment").values(), *of(overlay, "StatefulSet").values()):
        pod, container = pod_of(resource), container_of(resource)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        if (name := resource["metadata"]["name"]) in OURS[overlay]:
            assert pod["securityContext"]["runAsUser"] == int(user)
            mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            kinds = {one["name"]: set(one) - {"name"} for one in pod["volumes"]}
            expected = {"/data": {"persistentVolumeClaim"}, volume: {"emptyDir"}, "/tmp": {"emptyDir"}}
            if name == "api" and overlay == "production":
                expected["/etc/fewstep"] = {"secret"}
            assert {path: kinds[volume] for path, volume in mounts.items()} == expected


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_stopped_has_the_time_that_it_needs_and_what_hangs_is_found(overlay: str) -> None:
    settings = settings_of(overlay)
    ports = {"api": settings.port, "sampler": settings.sampler_metrics_port}
    ports |= {"distiller": settings.distiller_metrics_port, "webhooks": settings.webhooks_metrics_port}
    needed = math.ceil(settings.drain_s + settings.deadline_s) + SECONDS_BEYOND_DEADLINE
    for name, deployment in of(overlay, "Deployment").items():
        assert pod_of(deployment)["terminationGracePeriodSeconds"] >= needed
        container = container_of(deployment)
        (port,) = container["ports"]
        assert port["containerPort"] == ports[name]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] == port["name"]
            if probe != "readinessProbe":
                assert asked["path"] in shlex.join(COMPOSE[name]["healthcheck"]["test"])
        budget = of(overlay, "PodDisruptionBudget")[name]["spec"]
        assert budget["selector"] == deployment["spec"]["selector"]
        assert budget["maxUnavailable"] == 1
    assert settings.drain_s > 0
    limits = container_of(of(overlay, "Deployment")["distiller"])["resources"]["limits"]
    assert settings.max_job_memory_bytes < quantity(limits["memory"])


def test_the_trials_redis_keeps_what_it_accepted_as_that_of_compose_does() -> None:
    redis = container_of(of("trial", "StatefulSet")["redis"])
    flags = redis["args"]
    options = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    assert redis["image"] == COMPOSE["redis"]["image"]
    assert options.pop("requirepass") == "$(REDISCLI_AUTH)"
    assert {name: value for name, value in options.items() if name != "maxmemory"} == DURABLE
    assert "redis" not in of("production", "StatefulSet")
    assert settings_of("production").artifacts.startswith("s3://")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_let_in_but_what_is_named_and_no_password_is_kept(overlay: str) -> None:
    policies = of(overlay, "NetworkPolicy")
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_to_all = [
        name for name, one in policies.items() if any("from" not in rule for rule in one["spec"].get("ingress", []))
    ]
    assert open_to_all == ["api"]
    assert not of(overlay, "Secret")


def test_workers_are_scaled_by_the_age_of_their_queue() -> None:
    documented = (ROOT / "docs" / "metrics.md").read_text()
    scaled = of("production", "ScaledObject")
    assert set(scaled) == {"sampler", "distiller"}
    for name, one in scaled.items():
        deployment = of("production", "Deployment")[one["spec"]["scaleTargetRef"]["name"]]
        assert deployment["metadata"]["name"] == name
        assert "replicas" not in deployment["spec"]  # or each `kubectl apply` would undo what KEDA did
        (trigger,) = one["spec"]["triggers"]
        metric, label = re.fullmatch(r'max\((\w+)\{queue="(\w+)"\}\)', trigger["metadata"]["query"]).groups()  # type: ignore[union-attr]
        assert f"`{metric}`" in documented
        assert container_of(deployment)["command"][-1] == Queue(label)
        assert one["spec"]["minReplicaCount"] >= 1  # else nobody would be there for those who wait for an answer


def test_prometheus_finds_each_kind_of_pod_under_the_job_that_rules_know(tmp_path: Path) -> None:
    configuration = yaml.safe_load((HERE / "prometheus.yml").read_text())
    (scrape,) = configuration["scrape_configs"]
    keep, job = scrape["relabel_configs"][:2]
    assert set(keep["regex"].split("|")) == OURS["production"]
    assert (keep["action"], job["target_label"]) == ("keep", "job")
    assert scrape.pop("kubernetes_sd_configs") == [
        {"role": "pod", "namespaces": {"names": list(of("production", "Namespace"))}}
    ]  # which Debian's Prometheus is built without
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    result = promtool("check", "config", tmp_path / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_makes_the_same_of_an_overlay(overlay: str) -> None:
    command = ["kubectl", "kustomize", str(HERE / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = {name_of(one): one for one in yaml.safe_load_all(done.stdout)}
    assert theirs == {name_of(one): one for one in OVERLAYS[overlay]}
