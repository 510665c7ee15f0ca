"""What a key made is its own: others see it as if it were not there, and who administers sees all."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from core.jobs.record import JobState
from core.jobs.request import DistillJob
from tests.app.keyed import Keyed
from tests.jobs import TTL_S, made_by, round_of
from tests.problems import problem

LATER = {"Prefer": "respond-async"}


def job_of(keyed: Keyed, holder: str, **body: Any) -> str:  # noqa: ANN401
    """A job of a key; gives its path."""
    asked = {"teacher": "digits/4-step", "method": "pd", "to_steps": 1}
    response = keyed.client(holder).post("/distill-jobs", json=asked | body)
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


@pytest.mark.parametrize(
    ("method", "of"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/deliveries"),
        ("GET", "/rounds/1/samples.png"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
def test_a_job_of_another_is_not_there(keyed: Keyed, method: str, of: str) -> None:
    path = job_of(keyed, "dora")
    document = problem(keyed.client("both").request(method, path + of), 404)
    nobody = problem(keyed.client("both").request(method, f"/distill-jobs/nobody{of}"), 404)
    assert document["detail"].replace(path.rpartition("/")[2], "nobody") == nobody["detail"]
    assert keyed.client("dora").get(path).json()["state"] == "queued"  # nothing has happened to it
    if not of.startswith(("/events", "/rounds")):
        assert keyed.client("ada").request(method, path + of).status_code != 404


def test_lists_have_ones_own_jobs_and_those_of_all_for_who_administers(keyed: Keyed) -> None:
    paths = {name: [job_of(keyed, name) for _ in range(3)] for name in ("dora", "both")}
    for name, own in paths.items():
        listed, path = [], "/distill-jobs?limit=2"
        while path:
            page = keyed.client(name).get(path).json()
            listed += [job["links"]["self"] for job in page["jobs"]]
            path = page["next"]
        assert listed == own[::-1]
    owners = [job["owner"] for job in keyed.client("ada").get("/distill-jobs").json()["jobs"]]
    assert owners == 3 * ["both"] + 3 * ["dora"]
    assert keyed.api.client.get("/distill-jobs").json()["jobs"][0][
        "id"
    ]  # where keys are not asked for all is everyone's
    assert keyed.client("gina").get("/distill-jobs").json() == {"jobs": [], "next": None}


def test_a_result_of_another_is_not_there(keyed: Keyed) -> None:
    path = keyed.client("gina").post("/generate", json={}, headers=LATER).headers["location"]
    other = keyed.client("both")
    for method, of in (("GET", ""), ("GET", "/deliveries"), ("DELETE", "")):
        assert problem(other.request(method, path + of), 404)["field"] == "id"
    assert keyed.client("gina").get(path).json()["status"] == "queued"
    assert keyed.client("ada").get(path).status_code == 202
    assert keyed.client("ada").delete(path).status_code == 204
    problem(keyed.client("gina").get(path), 410)
    of_nobody = keyed.api.client.post("/generate", json={}, headers=LATER).headers["location"]
    problem(other.get(of_nobody), 404)
    assert keyed.client("ada").get(of_nobody).status_code == 202


def test_students_belong_to_their_job(keyed: Keyed, tiny_family: Path) -> None:
    path = job_of(keyed, "both", name="mine")
    record = keyed.api.jobs.read(path.rpartition("/")[2])
    assert record is not None
    job = record.job
    assert isinstance(job, DistillJob)
    fence = keyed.api.jobs.acquire(job.id, 0, "w", lease_s=60, ttl_s=TTL_S)
    assert fence is not None
    keyed.api.jobs.tell(job.id, fence, lease_s=60, rounds=[round_of(job, 2).model_dump()])
    made = {key: one.model_copy(update={"owner": job.owner}) for key, one in made_by(job).items()}
    assert keyed.api.jobs.end(job.id, fence, JobState.SUCCEEDED, ttl_s=TTL_S, made=made)
    shutil.copytree(tiny_family / "2-step", keyed.api.artifact(f"jobs/{job.id}/2-step"))

    body = {"model": "mine", "steps": 2}
    for name, seen in (("both", True), ("ada", True), ("dora", False), ("gina", False)):
        client = keyed.client(name)
        assert ("mine" in [one["name"] for one in client.get("/models").json()["models"]]) == seen
        for of in ("", "/download"):
            assert client.get(f"/models/mine/2-step{of}").status_code == (200 if seen else 404)
    assert keyed.client("both").post("/generate", json=body, headers=LATER).status_code == 202
    refused = problem(keyed.client("gina").post("/generate", json=body, headers=LATER), 404)
    assert "mine" not in refused["allowed"]
    again = keyed.client("dora").post("/distill-jobs", json={"teacher": "mine/2-step", "method": "pd"})
    assert problem(again, 404)["field"] == "teacher"
    shutil.rmtree(keyed.api.artifact(f"jobs/{job.id}"))


def test_what_changes_what_others_get_takes_who_administers(keyed: Keyed) -> None:
    body = {"teacher": "digits/4-step", "method": "pd", "promote": "always"}
    for name, status in (("dora", 403), ("ada", 202)):
        assert keyed.client(name).post("/distill-jobs", json=body).status_code == status
    problem(keyed.client("dora").post("/models/digits/2/rollback"), 403)
    problem(keyed.client("ada").post("/models/digits/2/rollback"), 409)


def test_idempotency_keys_of_two_are_two(keyed: Keyed) -> None:
    again = {"Idempotency-Key": "a"}
    jobs = {
        keyed.client(name).post("/distill-jobs", json={"teacher": "digits/4-step"}, headers=again).json()["id"]
        for name in ("dora", "both", "dora", "both")
    }
    assert len(jobs) == 2
    results = {
        keyed.client(name).post("/generate", json={}, headers=again | LATER).json()["id"]
        for name in ("gina", "both", "gina", "both")
    }
    assert len(results) == 2
