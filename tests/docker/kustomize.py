"""As much of ``kubectl kustomize`` as `docker/kubernetes/` uses, so that its overlays can be looked at without it.

What it does not know it refuses. `test_kubernetes` compares the two where there is a kubectl.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "replicas", "images"}
KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "containerPort"}
"""By which a strategic merge tells items of a list apart; other lists are replaced."""


def build(folder: Path, found: list[Resource] | None = None) -> list[Resource]:
    """The resources of a folder with a ``kustomization.yaml``; of a component with those that it is laid over."""
    given = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(given) <= KNOWN, folder
    found = deepcopy(found or [])
    for name in given.get("resources", []):
        place = folder / name
        found += build(place) if place.is_dir() else list(yaml.safe_load_all(place.read_text()))
    for name in given.get("components", []):
        found = build(folder / name, found)
    for patch in given.get("patches", []):
        assert set(patch) == {"path"}, folder
        for wanted in yaml.safe_load_all((folder / patch["path"]).read_text()):
            (index,) = [index for index, one in enumerate(found) if name_of(one) == name_of(wanted)]
            found[index] = merged(found[index], wanted)
    for resource in found:
        _transform(resource, given)
    return found


def name_of(resource: Resource) -> tuple[str, str]:
    """Kind and name, of which a namespace has one each."""
    return resource["kind"], resource["metadata"]["name"]


def merged(below: Any, above: Any, key: str | None = None) -> Any:  # noqa: ANN401 (YAML)
    """A strategic merge; null takes away."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = below | {name: merged(below.get(name), value, KEYS.get(name)) for name, value in above.items()}
        return {name: value for name, value in both.items() if value is not None}
    if isinstance(below, list) and isinstance(above, list) and key:
        new = {item[key]: item for item in above}
        kept = [merged(item, new.pop(item[key], {})) for item in below]
        return [*new.values(), *kept]
    return above


def pod_of(resource: Resource) -> dict[str, Any]:
    """What its pods are to be; nothing, if it has none."""
    pod: dict[str, Any] = resource.get("spec", {}).get("template", {}).get("spec", {})
    return pod


def _transform(resource: Resource, given: dict[str, Any]) -> None:
    if (namespace := given.get("namespace")) and resource["kind"] != "Namespace":
        resource["metadata"]["namespace"] = namespace
    for entry in given.get("replicas", []):
        if name_of(resource) in (("Deployment", entry["name"]), ("StatefulSet", entry["name"])):
            resource["spec"]["replicas"] = entry["count"]
    for container in pod_of(resource).get("containers", []):
        name, _, tag = container["image"].partition(":")
        for entry in given.get("images", []):
            if entry["name"] == name:
                tag = entry.get("newTag", tag)
                container["image"] = f"{entry.get('newName', name)}:{tag}"
