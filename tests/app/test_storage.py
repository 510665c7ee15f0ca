"""Object storage that hangs: who needs it is told so, nobody else notices."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from core.jobs.record import JobState
from core.jobs.request import DistillJob
from tests.app.conftest import Api
from tests.jobs import acquire, create, made_by, round_of
from tests.problems import problem
from tests.processes import KEYS, hung_server

AT_ONCE = 45


@pytest.fixture(scope="module")
def hung(_running: Api) -> Iterator[httpx.Client]:
    """An API whose artifacts are in such a storage."""
    with hung_server() as port:
        environment = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        process, client = _running.start(FEWSTEP_ARTIFACTS="s3://fewstep/x", **environment)
        yield client
        client.close()
        process.stop()


def finished(api: Api) -> DistillJob:
    """A job that has succeeded, with the picture of a round."""
    job = create(api.jobs)
    fence = acquire(api.jobs, job)
    rounds = [round_of(job, steps).model_dump(mode="json") for steps in job.steps]
    api.jobs.tell(job.id, fence, lease_s=60, rounds=rounds)
    assert api.jobs.end(job.id, fence, JobState.SUCCEEDED, ttl_s=100, made=made_by(job))
    return job


def test_who_waits_for_it_holds_nobody_up_and_is_told_the_cause(api: Api, hung: httpx.Client) -> None:
    job = finished(api)
    asked = [
        *(AT_ONCE * [("GET", f"/distill-jobs/{job.id}/rounds/1/samples.png")]),
        ("GET", f"/models/{job.name}/1-step/download"),
        ("POST", "/distill-jobs"),
    ]

    def ask(request: tuple[str, str]) -> httpx.Response:
        facts = {"teacher": f"{job.name}/2-step", "method": "pd", "data": "synthetic", "evaluate": None}
        body = facts if request[0] == "POST" else None
        return httpx.request(request[0], hung.base_url.join(request[1]), json=body, timeout=60)

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = [pool.submit(ask, request) for request in asked]
        time.sleep(1)  # they are all on their way, and none comes back for seconds
        assert [answer.result().text for answer in answers if answer.done()] == []
        for path in ("/livez", "/readyz", "/metrics", "/models", "/distill-jobs"):
            began = time.monotonic()
            assert hung.get(path).status_code in (200, 503)
            assert time.monotonic() - began < 3, path
        assert not any(answer.done() for answer in answers)
        found = {problem(answer.result(), 503)["detail"] for answer in answers}
        assert all(answer.result().headers["retry-after"] for answer in answers)
    assert found == {
        "object storage does not answer in time",
        "the artifact store is slow: 8 requests wait for it already",
    }


def test_a_deletion_is_finished_later(api: Api, hung: httpx.Client) -> None:
    job = finished(api)
    assert hung.delete(f"/distill-jobs/{job.id}").status_code == 204
    assert hung.get(f"/distill-jobs/{job.id}").status_code == 404
    assert api.jobs.discarded() == [f"jobs/{job.id}"]
    assert api.client.delete(f"/distill-jobs/{(other := finished(api)).id}").status_code == 204
    assert f"jobs/{other.id}" not in api.jobs.discarded()
