"""What is uploaded is looked at by a worker, and a checkpoint then sampled by another."""

from pathlib import Path
from typing import Any

import httpx

from core.catalog.card import SHIPPED_CHECKPOINTS
from tests.e2e.stack import Stack
from tests.processes import wait_until
from tests.worker.archives import zip_folder, zip_of


def settled(api: httpx.Client, path: str, file: Path) -> dict[str, Any]:
    """The upload of a file once it has been looked at."""
    answer = api.put(path, content=file.read_bytes())
    assert answer.status_code == 202, answer.text
    where = answer.headers["location"]
    wait_until(lambda: "retry-after" not in api.get(where).headers, what="a look at it")
    found: dict[str, Any] = api.get(where).json()
    return found


def uploaded(stack: Stack) -> set[Path]:
    """Files that are kept of uploads."""
    return {file for file in (stack.folder / "var" / "artifacts" / "uploads").rglob("*") if file.is_file()}


def test_a_checkpoint_that_is_uploaded_serves_and_one_that_is_none_says_why(
    distilling: Stack, tiny_family: Path, tmp_path: Path
) -> None:
    api, path = distilling.api, "/models/brought/8-step"
    before = uploaded(distilling)
    file = zip_folder(tiny_family / "8-step", tmp_path / "8-step.zip", top="tiny-8-step/")
    assert settled(api, path, file)["state"] == "ready"
    asked = {"steps": 8, "n": 2, "seed": 5}
    pixels = [
        api.post("/generate", json={**asked, "model": model}, headers={"Accept": "image/png"}).content
        for model in ("brought", "tiny")
    ]
    assert pixels[0] == pixels[1]
    assert pixels[0].startswith(b"\x89PNG")
    download = api.get(f"{path}/download")
    (tmp_path / "again.zip").write_bytes(download.content)
    assert settled(api, "/models/brought/again", tmp_path / "again.zip")["state"] == "ready"

    zip_of({"../card.json": b"{}"}, tmp_path / "evil.zip")
    refused = settled(api, "/models/brought/evil", tmp_path / "evil.zip")
    assert (refused["state"], refused["reason"]) == ("refused", "'../card.json' in the zip leads out of it")
    assert "leads out of it" in api.get("/models/brought/evil").json()["detail"]
    for name in ("8-step", "again", "evil"):
        assert api.delete(f"/models/brought/{name}").status_code == 204
    assert api.post("/generate", json={**asked, "model": "brought"}).status_code == 404
    wait_until(lambda: uploaded(distilling) <= before, what="nothing left")


def test_a_classifier_that_is_uploaded_is_listed(distilling: Stack, tmp_path: Path) -> None:
    api, folder = distilling.api, SHIPPED_CHECKPOINTS / "digits" / "judge"
    found = settled(api, "/classifiers/brought", zip_folder(folder, tmp_path / "judge.zip"))
    assert found["state"] == "ready", found
    listed = api.get("/classifiers").json()["classifiers"]
    assert listed["brought"] == listed["digits/judge"]
    assert api.delete("/classifiers/brought").status_code == 204
    assert "brought" not in api.get("/classifiers").json()["classifiers"]
