"""How a client cancels, takes up again and removes distillation jobs."""

from core.jobs.record import JobState
from tests.app.conftest import Api
from tests.jobs import TTL_S, acquire, create, end, made_by, make_job, promotion_of
from tests.problems import problem

PATH = "/distill-jobs"


def test_cancelling_in_each_state(api: Api) -> None:
    waiting, busy, succeeded, failed = (create(api.jobs) for _ in range(4))
    for _ in range(2):
        response = api.client.post(f"{PATH}/{waiting.id}/cancel")
        assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    fence = acquire(api.jobs, busy)
    for _ in range(2):
        response = api.client.post(f"{PATH}/{busy.id}/cancel")
        assert (response.status_code, response.json()["state"]) == (202, "cancelling")
        assert response.headers["location"] == f"{PATH}/{busy.id}"
    assert api.jobs.end(busy.id, fence, JobState.CANCELLED, ttl_s=TTL_S)
    assert api.client.post(f"{PATH}/{busy.id}/cancel").status_code == 200
    end(api.jobs, succeeded, JobState.SUCCEEDED)
    end(api.jobs, failed, JobState.FAILED)
    for job, state in ((succeeded, "succeeded"), (failed, "failed")):
        assert state in problem(api.client.post(f"{PATH}/{job.id}/cancel"), 409)["detail"]


def test_a_failed_or_cancelled_job_is_taken_up_again(api: Api) -> None:
    failed, cancelled = create(api.jobs), create(api.jobs)
    problem(api.client.post(f"{PATH}/{failed.id}/retry"), 409)  # it waits
    end(api.jobs, failed, JobState.FAILED, problem={"title": "No"})
    api.jobs.cancel(cancelled.id, ttl_s=TTL_S)
    for job, fence in ((failed, 2), (cancelled, 1)):
        response = api.client.post(f"{PATH}/{job.id}/retry")
        assert (response.status_code, response.json()["state"]) == (202, "queued")
        assert response.json()["error"] is None
        assert response.headers["location"] == f"{PATH}/{job.id}"
        assert acquire(api.jobs, job, fence) == fence + 1
    problem(api.client.post(f"{PATH}/{failed.id}/retry"), 409)  # it runs
    assert api.redis.llen("fewstep:distillation") == 2


def test_an_ended_job_is_removed_with_its_files(api: Api) -> None:
    job = create(api.jobs)
    problem(api.client.delete(f"{PATH}/{job.id}"), 409)  # it waits
    end(api.jobs, job, JobState.SUCCEEDED, made=made_by(job))
    api.artifact(f"jobs/{job.id}/1-step").mkdir(parents=True)
    assert job.name in {family["name"] for family in api.client.get("/models").json()["models"]}
    assert api.client.delete(f"{PATH}/{job.id}").status_code == 204
    assert not api.artifact(f"jobs/{job.id}").exists()
    assert job.name not in {family["name"] for family in api.other.get("/models").json()["models"]}
    problem(api.client.delete(f"{PATH}/{job.id}"), 404)


def test_what_serves_is_removed_after_a_rollback(api: Api) -> None:
    job = create(api.jobs)
    end(api.jobs, job, JobState.SUCCEEDED, made=made_by(job), promotions={"digits/2": promotion_of(job, 2)})
    document = problem(api.client.delete(f"{PATH}/{job.id}"), 409)
    assert "/models/digits/2/rollback" in document["detail"]
    assert api.client.post("/models/digits/2/rollback").status_code == 200
    assert api.client.delete(f"{PATH}/{job.id}").status_code == 204


def test_what_another_job_distils_is_not_removed(api: Api) -> None:
    job = create(api.jobs)
    end(api.jobs, job, JobState.SUCCEEDED, made=made_by(job))
    other = make_job(
        teacher={"family": job.name, "checkpoint": "2-step", "artifact": f"jobs/{job.id}/2-step", "sha256": 64 * "a"}
    )
    api.jobs.create(other, max_active=9)
    assert other.id in problem(api.client.delete(f"{PATH}/{job.id}"), 409)["detail"]
    api.jobs.cancel(other.id, ttl_s=TTL_S)
    assert api.client.delete(f"{PATH}/{job.id}").status_code == 204
