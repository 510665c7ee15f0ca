"""A distillation job from its request on, as a client sees it; what a worker does, the tests do."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.jobs.record import JobState
from tests.app.conftest import FINGERPRINT, Api
from tests.jobs import TTL_S, acquire, create, end, made_by, round_of
from tests.problems import problem

PATH = "/distill-jobs"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TEACHER = "digits/teacher"


def post(api: Api, **body: object) -> dict[str, Any]:
    """Ask for a job and get it."""
    response = api.client.post(PATH, json={"teacher": TEACHER} | body)
    assert response.status_code == 202, response.text
    document: dict[str, Any] = response.json()
    return document


def test_a_job_is_queued_with_everything_decided(api: Api) -> None:
    response = api.client.post(PATH, json={"teacher": TEACHER})
    assert response.status_code == 202
    document = response.json()
    assert response.headers["location"] == f"{PATH}/{document['id']}" == document["links"]["self"]
    assert int(response.headers["retry-after"]) > 0
    assert re.fullmatch("[0-9a-f]{32}", document["id"])
    assert document["name"] == f"digits-{document['id'][:8]}"
    assert (document["state"], document["steps"]) == ("queued", [4, 2, 1])
    assert (document["round"], document["rounds"], document["iteration"], document["iterations"]) == (1, 3, 0, 1000)
    assert document["classifier"] == {"name": "digits/classifier", "sha256": 64 * "1", "knows_data": True}
    assert document["data"] == "pictures"
    assert document["judge"] == {
        "classifier": {"name": "digits/judge", "sha256": 64 * "2", "knows_data": True},
        "data": "pictures",
        "data_fingerprint": FINGERPRINT,
        "samples": 2000,
    }
    assert document["request"]["learning_rate"] == 5e-5
    assert document["eta_s"] is None
    record = api.jobs.read(document["id"])
    assert record is not None
    assert record.job.request_id == response.headers["x-request-id"]
    message = api.redis.lrange("fewstep:distillation", 0, -1)
    assert len(message) == 1
    assert b"fewstep.distill" in message[0]


@pytest.mark.parametrize(
    ("body", "decided"),
    [
        ({"teacher": "digits/8-step"}, {"data": "synthetic", "judge": None}),
        ({"method": "pd", "to_steps": 4}, {"classifier": None, "steps": [4]}),
        ({"evaluate": None}, {"judge": None}),
        ({}, {"guide": None}),
        (
            {"guide": "odd/worse"},
            {"guide": {"family": "odd", "checkpoint": "worse", "artifact": None, "sha256": 64 * "9"}},
        ),
        ({"classifier": "twin"}, {"judge": None}),  # of the judge's architecture
        (
            {"classifier": "stranger", "dataset_weight": 0},
            {"classifier": {"name": "stranger", "sha256": 64 * "5", "knows_data": False}},
        ),
        ({"dataset_weight": 0.1, "data": "synthetic"}, {"data": "synthetic"}),
        ({"teacher": "noise/8-step", "method": "pd", "to_steps": 8}, {"steps": [8]}),
        ({"teacher": "noise/8-step", "method": "pd", "to_steps": 4}, {"steps": [8, 4]}),
        ({"teacher": "classes/2-step", "method": "pd", "from_steps": 2, "data": "labelled"}, {"data": "labelled"}),
        ({"name": "mine.2"}, {"name": "mine.2"}),
    ],
    ids=str,
)
def test_what_is_left_open_is_decided(api: Api, body: dict[str, Any], decided: dict[str, Any]) -> None:
    document = post(api, **body)
    assert decided == {key: document[key] for key in decided}


def test_twenty_at_once_with_one_key_are_one_job(api: Api) -> None:
    def attempt(i: int) -> tuple[int, str, str]:
        client = (api.client, api.other)[i % 2]
        response = client.post(PATH, json={"teacher": TEACHER, "name": "mine"}, headers={"Idempotency-Key": "k/1"})
        return response.status_code, response.headers["location"], response.json()["id"]

    with ThreadPoolExecutor(20) as threads:
        answers = set(threads.map(attempt, range(20)))
    (job_id,) = api.jobs.ids()
    assert answers == {(202, f"{PATH}/{job_id}", job_id)}
    assert api.redis.llen("fewstep:distillation") == 1


def test_a_key_stands_for_one_request(api: Api) -> None:
    key, asked = {"Idempotency-Key": "k"}, {"teacher": TEACHER, "data": "pictures"}
    first = api.client.post(PATH, json=asked, headers=key)
    # The same with the defaults spelled out; and whatever has become of what it was made from.
    api.redis.delete("fewstep:datasets")
    again = api.other.post(PATH, json=asked | {"method": "cfd", "seed": 0}, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = api.client.post(PATH, json=asked | {"seed": 1}, headers=key)
    assert problem(other, 422)["field"] == "Idempotency-Key"
    assert len(api.jobs.ids()) == 1

    api.client.post(f"{PATH}/{first.json()['id']}/cancel")
    assert api.client.post(PATH, json=asked, headers=key).json()["state"] == "cancelled"
    api.client.delete(f"{PATH}/{first.json()['id']}")
    gone = api.client.post(PATH, json=asked, headers=key)
    assert problem(gone, 409)["field"] == "Idempotency-Key"


def test_progress_is_told(api: Api) -> None:
    job = create(api.jobs)
    fence = acquire(api.jobs, job)
    api.jobs.tell(
        job.id,
        fence,
        lease_s=60,
        round=1,
        iteration=50,
        loss=0.25,
        rate=5.0,
        history=[[250, 0.25]],
        rounds=[round_of(job, 2).model_dump() | {"promote": True, "rival": "2-step", "rival_frechet_distance": 1.5}],
    )
    response = api.client.get(f"{PATH}/{job.id}")
    document = response.json()
    assert int(response.headers["retry-after"]) > 0
    assert (document["state"], document["attempts"], document["slices"]) == ("running", 1, 1)
    times = [document[name] for name in ("created", "started", "updated")]
    assert all(RFC_3339.fullmatch(time) for time in times), times
    assert times[0] == "1970-01-01T00:00:01Z"
    assert document["ended"] is None
    assert (document["round"], document["rounds"], document["iteration"], document["iterations"]) == (2, 2, 50, 200)
    assert (document["loss"], document["iterations_per_second"], document["eta_s"]) == (0.25, 5.0, 30.0)
    assert document["history"] == [[250, 0.25]]
    assert document["finished"] == [
        {
            "k": 1,
            "steps": 2,
            "checkpoint": f"{job.name}/2-step",
            "samples": f"{PATH}/{job.id}/rounds/1/samples.png",
            "metrics": None,
            "promote": True,
            "rival": "2-step",
            "rival_frechet_distance": 1.5,
        }
    ]


def test_an_ended_job_says_how_and_needs_no_asking_again(api: Api) -> None:
    job = create(api.jobs)
    end(api.jobs, job, JobState.FAILED, problem={"title": "Disk full", "status": 507})
    response = api.client.get(f"{PATH}/{job.id}")
    assert "retry-after" not in response.headers
    assert response.json()["error"] == {"title": "Disk full", "status": 507}
    assert response.json()["ended"] >= response.json()["started"]
    assert RFC_3339.fullmatch(response.json()["ended"])


def test_samples_of_a_finished_round(api: Api) -> None:
    job = create(api.jobs)
    api.jobs.tell(job.id, acquire(api.jobs, job), lease_s=60, rounds=[round_of(job, 2).model_dump()])
    picture = api.artifact(str(round_of(job, 2).samples))
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\x89PNG")
    response = api.client.get(f"{PATH}/{job.id}/rounds/1/samples.png")
    assert (response.content, response.headers["content-type"]) == (b"\x89PNG", "image/png")
    for k in (0, 2):
        assert problem(api.client.get(f"{PATH}/{job.id}/rounds/{k}/samples.png"), 404)["field"] == "k"
    picture.unlink()
    problem(api.client.get(f"{PATH}/{job.id}/rounds/1/samples.png"), 404)


def test_jobs_are_listed_newest_first_by_pages(api: Api) -> None:
    jobs = [create(api.jobs) for _ in range(7)]
    for job in jobs[:3]:
        api.jobs.cancel(job.id, ttl_s=TTL_S)

    def listed(query: str) -> list[str]:
        ids, path = [], f"{PATH}?{query}"
        while path:
            page = api.client.get(path).json()
            assert 0 < len(page["jobs"]) <= 2
            ids += [job["id"] for job in page["jobs"]]
            path = page["next"]
        return ids

    newest = [job.id for job in reversed(jobs)]
    assert listed("limit=2") == newest
    assert listed("limit=2&state=queued") == newest[:4]
    assert listed("limit=2&state=cancelled") == newest[4:]
    assert api.client.get(PATH, params={"state": "failed"}).json() == {"jobs": [], "next": None}
    assert api.client.get(PATH, params={"limit": 7}).json()["next"] is None

    path = api.client.get(f"{PATH}?limit=2").json()["next"]
    api.jobs.cancel(newest[1], ttl_s=TTL_S)
    api.jobs.delete(newest[1], jobs[5].name)  # the one that the page ends with
    assert [job["id"] for job in api.client.get(path).json()["jobs"]] == newest[2:4]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("state=done", "state"),
        ("cursor=x", "cursor"),
        ("cursor=nan", "cursor"),
    ],
)
def test_a_list_that_cannot_be(api: Api, query: str, field: str) -> None:
    assert problem(api.client.get(f"{PATH}?{query}"), 422)["field"] == field


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/rounds/1/samples.png"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
def test_a_job_that_there_is_not(api: Api, method: str, path: str) -> None:
    assert problem(api.client.request(method, f"{PATH}/nobody{path}"), 404)["field"] == "id"


def test_students_can_be_distilled_again(api: Api) -> None:
    job = create(api.jobs)
    end(api.jobs, job, JobState.SUCCEEDED, made=made_by(job))
    config = api.artifact(f"jobs/{job.id}/2-step/unet/config.json")
    config.parent.mkdir(parents=True)
    config.write_text('{"block_out_channels": [4, 8], "layers_per_block": 1}')
    document = post(api, teacher=f"{job.name}/2-step", method="pd", from_steps=2)
    assert document["teacher"]["artifact"] == f"jobs/{job.id}/2-step"


def test_classifiers_and_data_sets_are_listed(api: Api) -> None:
    classifiers = api.client.get("/classifiers").json()["classifiers"]
    assert list(classifiers) == ["digits/classifier", "digits/judge", "grey", "stranger", "twin"]
    assert classifiers["grey"]["image_shape"] == [1, 8, 8]
    document = api.client.get("/datasets").json()
    assert [one["name"] for one in document["datasets"]] == ["digits", "broken", "labelled", "pictures"]
    assert document["datasets"][1]["error"] == "the archive is damaged"
    assert "teacher" in document["synthetic"]


def test_the_examples_of_the_docs_are_true(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    content = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"]
    for example in content["examples"].values():
        response = api.client.post(PATH, json=example["value"])
        assert response.status_code == 202, response.text
    answers = document["paths"][f"{PATH}/{{id}}"]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["example"].keys() <= response.json().keys()
    assert "application/problem+json" in answers["404"]["content"]
