"""Families on disk together with what jobs have made: seen at once, taken away, and given back."""

import io
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from app.catalog.catalog import MAX_AGE_S
from app.catalog.downloads import CHUNK, zip_stream
from core.generation.request import Generation
from core.jobs.record import JobState
from core.jobs.request import DistillJob
from models.sampling.engine import Sampler
from tests.app.conftest import Api
from tests.jobs import made_by, make_job, promotion_of
from tests.models import diffusers
from tests.problems import problem


def succeed(api: Api, *promoted: int, **facts: Any) -> DistillJob:  # noqa: ANN401
    """A job that has ended well, with some of its students in force in ``digits``."""
    job = make_job()
    api.jobs.create(job, max_active=9)
    fence = api.jobs.acquire(job.id, 0, "w1", lease_s=60, ttl_s=60)
    assert fence is not None
    promotions = {f"digits/{steps}": promotion_of(job, steps, **facts) for steps in promoted}
    assert api.jobs.end(job.id, fence, JobState.SUCCEEDED, ttl_s=60, made=made_by(job), promotions=promotions)
    return job


def family(client: httpx.Client, name: str) -> dict[str, Any]:
    """What ``/models`` says of a family."""
    return next(one for one in client.get("/models").json()["models"] if one["name"] == name)


def accepted(api: Api, client: httpx.Client, **body: object) -> Generation:
    """What a worker would be told to sample."""
    response = client.post("/generate", json=body, headers={"Prefer": "respond-async"})
    assert response.status_code == 202, response.text
    request = api.redis.hget(f"fewstep:generate:record:{response.json()['id']}", "request")
    assert request is not None
    return Generation.model_validate_json(request)


def test_students_can_be_sampled_by_the_very_next_request(api: Api) -> None:
    for client in (api.client, api.other):
        client.get("/models")  # what is remembered now does not count later
    job = succeed(api)
    for client in (api.other, api.client):
        generation = accepted(api, client, model=job.name, steps=2)
        assert (generation.model, generation.checkpoint) == (job.name, "2-step")
        assert generation.artifact == f"jobs/{job.id}/2-step"
    assert accepted(api, api.client, model="digits", steps=2).artifact is None
    assert api.client.get(f"/models/{job.name}/1-step").json()["num_steps"] == 1


def test_a_promoted_student_serves_and_rollback_ends_that(api: Api) -> None:
    first = succeed(api, 2, frechet_distance=3.5, replaced="2-step", replaced_frechet_distance=4.0)
    second = succeed(api, 2)
    there = family(api.other, "digits")
    assert there["steps"] == {"1": "1-step", "2": f"2-step.{second.name}", "4": "4-step", "8": "8-step"}
    assert [one["job"] for one in there["promotions"]["2"]] == [first.id, second.id]
    assert there["promotions"]["2"][0] == {
        "family": first.name,
        "checkpoint": "2-step",
        "job": first.id,
        "at": "2026-01-01T00:00:00.250000Z",
        "frechet_distance": 3.5,
        "replaced": "2-step",
        "replaced_frechet_distance": 4.0,
    }
    assert set(there["promotions"]) == {"2"}
    generation = accepted(api, api.client, steps=2)
    assert (generation.checkpoint, generation.artifact) == (f"2-step.{second.name}", f"jobs/{second.id}/2-step")
    assert api.client.get(f"/models/digits/{generation.checkpoint}").status_code == 200

    for job, before in ((second, f"2-step.{first.name}"), (first, "2-step")):
        response = api.client.post("/models/digits/2/rollback")
        assert (response.status_code, response.json()["job"]) == (200, job.id)
        assert response.json()["at"] == "2026-01-01T00:00:00.250000Z"
        assert accepted(api, api.other, steps=2).checkpoint == before
    assert family(api.client, "digits")["promotions"] == {}
    assert problem(api.client.post("/models/digits/2/rollback"), 409)["field"] == "steps"
    assert problem(api.client.post("/models/cats/2/rollback"), 404)["field"] == "family"
    assert problem(api.client.post("/models/digits/two/rollback"), 422)["field"] == "steps"


def test_families_are_listed_in_short_and_their_cards_have_addresses_of_their_own(api: Api) -> None:
    there = family(api.client, "digits")["checkpoints"]["8-step"]
    whole = api.client.get(there.pop("card")).json()
    assert {"num_steps", "method", "parent", "parameters", "prediction_type"} <= set(there)
    assert not {"rows", "metrics", "hyper_parameters", "diffusers_call", "class_names"} & set(there)
    assert len(whole["rows"]) == 9
    assert there == {name: whole[name] for name in there}


def test_families_that_are_brought_are_there_and_of_two_names_the_first_has_it(api: Api) -> None:
    names = [one["name"] for one in api.client.get("/models").json()["models"]]
    assert names == ["classes", "digits", "huge", "noise", "odd"]
    card = api.client.get("/models/digits/teacher").json()
    assert card["metrics"]["evaluations"]  # that of the shipped folder


def test_families_come_in_pages(api: Api) -> None:
    names, path = [], "/models?limit=2"
    for _ in range(3):
        page = api.client.get(path).json()
        names.append([one["name"] for one in page["models"]])
        path = page["next"]
    assert names == [["classes", "digits"], ["huge", "noise"], ["odd"]]
    assert path is None
    assert api.client.get("/models").json()["next"] is None
    for wrong in (0, 101):
        assert problem(api.client.get(f"/models?limit={wrong}"), 422)["field"] == "limit"


def test_without_redis_what_was_known_last_is_there(api: Api) -> None:
    job = succeed(api, 2)
    before = family(api.client, "digits")
    api.redis_server.stop()
    try:
        assert family(api.client, "digits") == before
        assert api.client.get(f"/models/{job.name}/1-step").status_code == 200
        for path in ("/distill-jobs", f"/distill-jobs/{job.id}", "/datasets"):
            response = api.client.get(path)
            problem(response, 503)
            assert int(response.headers["retry-after"]) > 0
        problem(api.client.post("/distill-jobs", json={"teacher": "digits/teacher"}), 503)
    finally:
        api.redis_server.start()
        time.sleep(MAX_AGE_S)  # for so long what was known last serves
    assert api.client.get(f"/distill-jobs/{job.id}").json()["state"] == "succeeded"


@pytest.mark.parametrize("origin", ["disk", "artifact"])
def test_a_download_opens_in_diffusers(api: Api, origin: str, tiny_family: Path, tmp_path: Path) -> None:
    name = "digits"
    if origin == "artifact":
        job = succeed(api)
        name = job.name
        shutil.copytree(tiny_family / "2-step", api.artifact(f"jobs/{job.id}/2-step"))
    response = api.client.get(f"/models/{name}/2-step/download")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}-2-step.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert {entry.filename.split("/")[0] for entry in archive.infolist()} == {f"{name}-2-step"}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        archive.extractall(tmp_path)
    pipeline = diffusers.DDIMPipeline.from_pretrained(tmp_path / f"{name}-2-step")
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        num_inference_steps=2,
        use_clipped_model_output=True,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).images
    ours = Sampler(tiny_family / "2-step", device="cpu").sample(seeds=[7])
    assert abs(images[0] * 255 - ours[0]).max() <= 1


def test_downloads_of_what_there_is_not(api: Api) -> None:
    assert problem(api.client.get("/models/cats/2-step/download"), 404)["field"] == "model"
    assert problem(api.client.get("/models/digits/3-step/download"), 404)["field"] == "checkpoint"
    job = succeed(api)
    problem(api.client.get(f"/models/{job.name}/2-step/download"), 404)  # the files are gone


def test_a_zip_is_made_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(bytes(5 * CHUNK))
    parts = list(zip_stream(tmp_path, top="a"))
    assert max(map(len, parts)) < 2 * CHUNK
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.read("a/weights") == bytes(5 * CHUNK)
