"""``/training-jobs`` and ``/jobs`` as a client sees them; what a worker does, the tests do."""

from typing import Any

import pytest

from core.catalog.serving import Made, MadeClassifier
from core.jobs.record import JobState
from core.jobs.references import RoundResult
from core.jobs.training import TrainingJob
from tests.app.conftest import CLASSES, Api
from tests.jobs import acquire, create, end, make_card
from tests.problems import problem

PATH = "/training-jobs"
TEACHER = {"kind": "teacher", "data": "pictures"}
CLASSIFIER = {"kind": "classifier", "data": "labelled"}


def post(api: Api, **body: object) -> dict[str, Any]:
    """Ask for a job and get it."""
    response = api.client.post(PATH, json=body)
    assert response.status_code == 202, response.text
    document: dict[str, Any] = response.json()
    return document


def job_of(api: Api, document: dict[str, Any]) -> TrainingJob:
    record = api.jobs.read(document["id"])
    assert record is not None
    assert isinstance(record.job, TrainingJob)
    return record.job


@pytest.mark.parametrize(
    ("body", "status", "field", "allowed"),
    [
        ({"kind": "student"}, 422, "kind", {"enum": ["teacher", "classifier"]}),
        ({"data": None}, 422, "data", {}),
        ({"name": "Mine!"}, 422, "name", {}),
        ({"layers": 3}, 422, "layers", None),
        ({"iterations": 0}, 422, "iterations", {}),
        ({"iterations": 100_001}, 422, "iterations", {"minimum": 1, "maximum": 100_000}),
        ({"channels": 33, "multipliers": [1]}, 422, "channels", None),
        ({"multipliers": []}, 422, "multipliers", None),
        ({"multipliers": "1,2"}, 422, "multipliers", {}),
        ({"multipliers": [1, 1, 1, 1, 1]}, 422, "size", None),
        ({"architecture": "resnet-18"}, 422, "architecture", None),
        ({"class_conditional": True}, 422, "class_conditional", None),
        ({"batch_size": 10**9}, 422, "batch_size", {"minimum": 1}),
        ({"channels": 32 * 10**4}, 422, "channels", None),
        ({"data": "cats"}, 422, "data", ["digits", "labelled", "pictures"]),
        ({"data": "broken"}, 422, "data", ["digits", "labelled", "pictures"]),
        ({"data": "synthetic"}, 422, "data", None),
        ({"init": "cats/teacher"}, 404, "init", None),
        ({"init": "digits/cats"}, 404, "init", None),
        ({"init": "digits/teacher", "data": "digits"}, 422, "data", None),
        ({"init": "huge/8-step"}, 422, "init", None),
        ({"judge": "cats"}, 422, "judge", ["digits/classifier", "digits/judge", "stranger", "twin"]),
        ({"judge": "grey"}, 422, "judge", None),
        ({"evaluate": {"samples": 9}}, 422, "judge", None),
        ({"judge": "twin", "evaluate": {"samples": 50_001}}, 422, "evaluate.samples", {"maximum": 50_000}),
        ({"name": "digits"}, 409, "name", None),
        ({**CLASSIFIER, "data": "pictures"}, 422, "data", None),
        ({**CLASSIFIER, "channels": 32}, 422, "channels", None),
        ({**CLASSIFIER, "batch_size": 1}, 422, "batch_size", None),
        ({**CLASSIFIER, "judge": "twin"}, 422, "judge", None),
        ({**CLASSIFIER, "name": "grey"}, 409, "name", None),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(
    api: Api, body: dict[str, Any], status: int, field: str, allowed: object
) -> None:
    document = problem(api.client.post(PATH, json=TEACHER | body), status)
    assert document["field"] == field, document
    if isinstance(allowed, dict):
        assert allowed.items() <= document["allowed"].items()
    elif allowed is not None:
        assert document["allowed"] == allowed
    assert api.jobs.ids() == []


def test_a_job_is_queued_with_everything_decided(api: Api) -> None:
    response = api.client.post(PATH, json=TEACHER | {"judge": "digits/judge"})
    assert response.status_code == 202
    document = response.json()
    assert response.headers["location"] == f"{PATH}/{document['id']}" == document["links"]["self"]
    assert document["name"] == f"pictures-{document['id'][:8]}"
    assert (document["kind"], document["state"], document["rounds"]) == ("teacher", "queued", 1)
    assert document["iterations"] == document["options"]["iterations"] == 100_000, "the most that a job may have"
    assert document["options"]["multipliers"] == [1, 2, 2, 2]
    assert document["judge"]["classifier"]["name"] == "digits/judge"
    assert post(api, **CLASSIFIER)["options"]["iterations"] == 20_000
    init = post(api, **TEACHER, init="digits/8-step")
    assert init["init"]["checkpoint"] == "8-step"
    assert len(api.redis.lrange("fewstep:distillation", 0, -1)) == 3


def test_a_key_stands_for_one_request(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first = api.client.post(PATH, json=TEACHER, headers=key)
    assert api.other.post(PATH, json=TEACHER | {"seed": None}, headers=key).json()["id"] == first.json()["id"]
    assert problem(api.client.post(PATH, json=CLASSIFIER, headers=key), 422)["field"] == "Idempotency-Key"


def test_jobs_of_all_kinds_are_in_one_list_and_each_kind_in_its_own(api: Api) -> None:
    distilling = create(api.jobs)
    teacher, classifier = post(api, **TEACHER), post(api, **CLASSIFIER)

    def listed(query: str) -> list[str]:
        found, path = [], f"/jobs?limit=1{query}"
        while path:
            page = api.client.get(path).json()
            found += [f"{job['kind']} {job['id']}" for job in page["jobs"]]
            path = page["next"]
        return found

    kinds = [f"classifier {classifier['id']}", f"teacher {teacher['id']}", f"distillation {distilling.id}"]
    assert listed("") == kinds
    assert listed("&kind=teacher") == [kinds[1]]
    assert listed("&state=failed") == []
    assert [job["id"] for job in api.client.get("/distill-jobs").json()["jobs"]] == [distilling.id]
    for path in (f"/distill-jobs/{teacher['id']}", f"{PATH}/{distilling.id}"):
        for method, rest in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
            assert problem(api.client.request(method, f"{path}{rest}"), 404)["field"] == "id"


def test_a_teacher_is_listed_and_can_be_distilled_and_goes_when_nobody_uses_it(api: Api) -> None:
    document = post(api, **TEACHER, name="mine")
    job, prefix = job_of(api, document), f"jobs/{document['id']}/rounds/1.1"
    problem(api.client.get(f"{PATH}/{job.id}/samples.png"), 404)
    fence = acquire(api.jobs, job)
    api.jobs.tell(
        job.id,
        fence,
        lease_s=60,
        rounds=[
            RoundResult(
                steps=1024, checkpoint="mine/teacher", artifact=f"{prefix}/teacher", samples=f"{prefix}/samples.png"
            ).model_dump()
        ],
    )
    unet = api.artifact(f"{prefix}/teacher/unet/config.json")
    unet.parent.mkdir(parents=True)
    unet.write_text('{"block_out_channels": [4, 8], "layers_per_block": 1}')
    api.artifact(f"{prefix}/samples.png").write_bytes(b"\x89PNG")
    made = Made(card=make_card(1024), artifact=f"{prefix}/teacher", job=job.id)
    assert api.jobs.end(job.id, fence, JobState.SUCCEEDED, ttl_s=100, made={"mine/teacher": made})

    ended = api.client.get(f"{PATH}/{job.id}").json()
    assert ended["made"] == {"name": "mine/teacher", "samples": f"{PATH}/{job.id}/samples.png", "metrics": None}
    assert api.client.get(ended["made"]["samples"]).content == b"\x89PNG"
    assert problem(api.client.post(f"{PATH}/{job.id}/cancel"), 409)["field"] == "state"
    student = api.client.post("/distill-jobs", json={"teacher": "mine/teacher", "method": "pd", "from_steps": 4})
    assert student.status_code == 202, student.text
    assert student.json()["id"] in problem(api.client.delete(f"{PATH}/{job.id}"), 409)["detail"]
    api.client.post(f"/distill-jobs/{student.json()['id']}/cancel")
    assert api.client.delete(f"{PATH}/{job.id}").status_code == 204
    problem(api.client.get("/models/mine/teacher"), 404)


def test_a_classifier_is_listed_and_distilled_through(api: Api) -> None:
    document = post(api, **CLASSIFIER, name="mine")
    job, artifact = job_of(api, document), f"jobs/{document['id']}/rounds/1.1/mine"
    card = {
        "fewstep_version": "0",
        "architecture": "resnet-small",
        "image_shape": (3, 8, 8),
        "num_classes": len(CLASSES),
        "num_features": 4,
        "parameters": 10,
        "accuracy": 0.9,
        "test_images": 9,
        "data": "labelled",
        "data_fingerprint": 64 * "e",
        "sha256": 64 * "7",
    }
    made = MadeClassifier.model_validate({"card": card, "artifact": artifact, "job": job.id})
    end(api.jobs, job, JobState.SUCCEEDED, classifiers={"mine": made})
    assert api.client.get("/classifiers").json()["classifiers"]["mine"]["accuracy"] == 0.9
    student = api.client.post("/distill-jobs", json={"teacher": "digits/teacher", "classifier": "mine"}).json()
    assert student["classifier"]["artifact"] == artifact
    assert student["id"] in problem(api.client.delete(f"{PATH}/{job.id}"), 409)["detail"]
    assert problem(api.client.post(PATH, json=CLASSIFIER | {"name": "mine"}), 409)["field"] == "name"
    api.client.post(f"/distill-jobs/{student['id']}/cancel")
    assert api.client.delete(f"{PATH}/{job.id}").status_code == 204
    assert "mine" not in api.client.get("/classifiers").json()["classifiers"]


def test_the_examples_of_the_docs_are_true(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    content = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        response = api.client.post(PATH, json=example["value"])
        assert response.status_code == 202, response.text
    answers = document["paths"][f"{PATH}/{{id}}"]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["example"].keys() <= response.json().keys()
