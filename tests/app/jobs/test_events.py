"""What happens to a job, over server-sent events."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from core.jobs.record import JobState
from core.jobs.request import DistillJob
from tests.app.conftest import Api
from tests.jobs import make_job
from tests.problems import problem

TTL_S = 100


@pytest.fixture
def job(api: Api) -> DistillJob:
    """A job that runs, at fence 1."""
    job = make_job()
    api.jobs.create(job, max_active=9)
    assert api.jobs.acquire(job.id, 0, "w1", lease_s=60, ttl_s=TTL_S) == 1
    return job


def told(api: Api, job: DistillJob, after: str | None = None) -> Iterator[dict[str, str]]:
    """The events of a stream as they come, until it ends."""
    headers = {"Last-Event-ID": after} if after else {}
    with api.client.stream("GET", f"/distill-jobs/{job.id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                yield event
                event = {}


def tell(api: Api, job: DistillJob, iteration: int) -> None:
    api.jobs.tell(job.id, 1, lease_s=60, kind="progress", data={"iteration": iteration})


def test_a_stream_tells_everything_and_ends_with_the_job(api: Api, job: DistillJob) -> None:
    def work() -> None:
        for iteration in range(3):
            time.sleep(0.3)
            tell(api, job, iteration)
        assert api.jobs.end(job.id, 1, JobState.SUCCEEDED, ttl_s=TTL_S)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        events = list(told(api, job))
        working.result()
    assert [(event["event"], event["data"]) for event in events] == [
        ("state", '{"state":"queued"}'),
        ("state", '{"state":"running"}'),
        *(("progress", f'{{"iteration": {iteration}}}') for iteration in range(3)),
        ("state", '{"state":"succeeded"}'),
    ]
    assert [event["id"] for event in events] == [event.id for event in api.jobs.events(job.id)]


def test_who_comes_again_gets_what_it_has_missed(api: Api, job: DistillJob) -> None:
    for iteration in range(600):  # more than are read at once
        tell(api, job, iteration)
    api.jobs.end(job.id, 1, JobState.FAILED, ttl_s=TTL_S)
    everything = list(told(api, job))
    assert len(everything) == 603
    for place in (0, 1, 300, 601):
        assert list(told(api, job, everything[place]["id"])) == everything[place + 1 :]
    assert list(told(api, job, everything[-1]["id"])) == []


def test_a_job_taken_up_again_goes_on_in_its_stream(api: Api, job: DistillJob) -> None:
    api.jobs.end(job.id, 1, JobState.FAILED, ttl_s=TTL_S)
    api.jobs.retry(job.id, max_active=9)
    api.jobs.cancel(job.id, ttl_s=TTL_S)
    states = [event["data"] for event in told(api, job)]
    assert states == [f'{{"state":"{state}"}}' for state in ("queued", "running", "failed", "queued", "cancelled")]


def test_a_stream_of_events_that_are_forgotten_is_empty(api: Api, job: DistillJob) -> None:
    api.jobs.end(job.id, 1, JobState.FAILED, ttl_s=TTL_S)
    api.redis.delete(f"fewstep:jobs:events:{job.id}")
    assert list(told(api, job)) == []


@pytest.mark.parametrize("given", ["x", "1", "1-", "1-2-3", "-1-0", f"{2**64}-0", "0-99999999999999999999"])
def test_an_id_that_is_none(api: Api, job: DistillJob, given: str) -> None:
    response = api.client.get(f"/distill-jobs/{job.id}/events", headers={"Last-Event-ID": given})
    assert problem(response, 422)["field"] == "Last-Event-ID"


def test_many_streams_leave_room_for_other_requests(api: Api, job: DistillJob) -> None:
    with ThreadPoolExecutor(60) as threads:
        streams = [threads.submit(lambda: list(told(api, job))) for _ in range(60)]
        time.sleep(1)
        assert api.client.get(f"/distill-jobs/{job.id}").status_code == 200
        api.jobs.end(job.id, 1, JobState.SUCCEEDED, ttl_s=TTL_S)
        assert all(stream.result()[-1]["data"] == '{"state":"succeeded"}' for stream in streams)


def test_streams_do_not_keep_a_process_from_ending(api: Api, job: DistillJob) -> None:
    process, client = api.start()
    with closing(client), client.stream("GET", f"/distill-jobs/{job.id}/events") as response:
        lines = response.iter_lines()
        assert next(lines)
        assert process.stop(timeout_s=30) in (0, -signal.SIGTERM)  # well before answers are cut off
        assert list(lines)  # the end of the stream, not of the connection


def test_silence_is_filled(api: Api, job: DistillJob) -> None:
    with api.client.stream("GET", f"/distill-jobs/{job.id}/events") as response:
        assert next(line for line in response.iter_lines() if line.startswith(":"))
