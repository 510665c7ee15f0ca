"""What an API process says of itself and of Redis."""

import pytest
from pydantic import SecretStr

from app.metrics import REASONS
from app.redis_metrics import RedisMetrics, StorageMetrics
from core import presence
from core.connections import connect
from core.jobs.record import JobState
from core.jobs.store import JobStore
from core.queues import Queue
from core.settings import Settings
from tests.app.conftest import Api
from tests.jobs import make_job
from tests.processes import free_port, wait_until
from tests.prometheus import Scrape, scrape


def now(api: Api) -> Scrape:
    return scrape(str(api.client.base_url).rstrip("/"))


def test_jobs_workers_and_queues_are_counted(api: Api) -> None:
    before = now(api)
    assert before.get("fewstep_redis_up") == 1
    assert {before.get("fewstep_jobs", state=state) for state in JobState} == {0}
    assert before.get("fewstep_job_silence_seconds") == 0
    assert before.get("fewstep_workers", queue="sampling") == 0
    presence.announce(api.redis, Queue.DISTILLATION, "w1", {}, heartbeat_s=100)
    api.jobs.create(make_job(), max_active=9)
    running = make_job()
    api.jobs.create(running, max_active=9)
    api.jobs.acquire(running.id, 0, "w1", lease_s=60, ttl_s=100)
    after = now(api)
    assert after.get("fewstep_jobs", state="queued") == after.get("fewstep_jobs", state="running") == 1
    assert after.get("fewstep_jobs", state="succeeded") == 0
    assert after.get("fewstep_job_silence_seconds") > 0
    assert after.get("fewstep_workers", queue="distillation") == 1
    assert after.get("fewstep_queue_messages", queue="sampling", state="waiting") == 0
    assert after.get("fewstep_queue_messages", queue="sampling", state="unacknowledged") == 0
    assert after.get("fewstep_queue_oldest_message_age_seconds", queue="sampling") == 0
    assert after.get("fewstep_requests_queued") == 0


def test_disks(api: Api) -> None:
    found = now(api)
    for volume in ("var", "artifacts"):
        free, size = (found.get(f"fewstep_storage_{kind}_bytes", volume=volume) for kind in ("free", "size"))
        assert 0 < free <= size


@pytest.mark.parametrize(
    ("reason", "method", "path", "body"),
    [
        ("invalid", "POST", "/generate", {"n": 0}),
        ("invalid", "PUT", "/generate", None),
        ("not_found", "GET", "/distill-jobs/nobody", None),
        ("too_large", "POST", "/generate", {"model": 100_000 * "x"}),
        ("unavailable", "POST", "/generate", {}),  # there is no worker
    ],
)
def test_refusals_are_counted_by_reason(
    api: Api, reason: str, method: str, path: str, body: dict[str, object] | None
) -> None:
    before = now(api)
    assert all(before.get("fewstep_http_rejections_total", reason=each) >= 0 for each in REASONS)
    assert api.client.request(method, path, json=body).status_code >= 400
    after = now(api)
    gained = {
        each: after.get("fewstep_http_rejections_total", reason=each)
        - before.get("fewstep_http_rejections_total", reason=each)
        for each in REASONS
    }
    assert gained == dict.fromkeys(REASONS, 0) | {reason: 1}


def test_bytes_and_requests_in_flight(api: Api) -> None:
    sent = "fewstep_http_response_bytes_total"
    before = now(api)
    assert before.get("fewstep_http_requests_in_flight") == 0
    models = api.client.get("/models")
    after = now(api)
    assert after.get(sent, route="/models") - before.sum(sent, route="/models") == len(models.content)
    job = make_job()
    api.jobs.create(job, max_active=9)
    with api.client.stream("GET", f"/distill-jobs/{job.id}/events"):
        assert now(api).get("fewstep_http_requests_in_flight") == 1
    wait_until(lambda: now(api).get("fewstep_http_requests_in_flight") == 0, what="the end of the stream")


def test_without_redis_it_says_so_and_no_more(redis_settings: Settings) -> None:
    away = redis_settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
    with connect(away, patient=False, timeout_s=1) as redis:
        (up,) = RedisMetrics(JobStore(redis)).collect()
    assert up.name == "fewstep_redis_up"
    assert [sample.value for sample in up.samples] == [0]


def test_a_folder_that_is_not_there_yet_is_on_the_disk_that_it_will_be_on(redis_settings: Settings) -> None:
    free, size = StorageMetrics({"var": redis_settings.var / "not" / "yet"}).collect()
    assert 0 < free.samples[0].value <= size.samples[0].value
