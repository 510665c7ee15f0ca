"""How jobs end that do not simply succeed: failed, retried, cancelled, removed. One worker does them all."""

import time
from pathlib import Path

import httpx
import pytest

from core import presence
from core.broker import make_celery
from core.jobs.record import JobState
from core.queues import Queue
from core.settings import Settings
from tests.e2e.yard import IN_HAND, Yard
from tests.processes import wait_until
from worker.distillation.sweep import JobSweep
from worker.distillation.worker import send_slice


@pytest.fixture(scope="module")
def yard(yard: Yard) -> Yard:
    """With a worker whose slices last as long as their jobs."""
    yard.start(slice_s=1000)
    wait_until(lambda: presence.facts(yard.store.redis, Queue.DISTILLATION), what="the worker")
    return yard


def test_a_loss_that_explodes_fails_the_job_and_keeps_the_last_good_state(yard: Yard) -> None:
    before = yard.scrape()
    job_id = yard.submit(learning_rate=1.0, iterations=2000)
    record = yard.ended(job_id, JobState.FAILED)
    assert record.error is not None
    assert "lower learning rate" in record.error["detail"]
    diverged, failures = "fewstep_distill_nonfinite_total", "fewstep_distill_artifact_failures_total"
    wait_until(lambda: yard.scrape().sum(diverged) == before.sum(diverged) + 1, what="its metrics")
    assert yard.scrape().get(failures) == before.get(failures)


def test_storage_that_fails_is_said_and_a_retry_succeeds(yard: Yard, plain: dict[str, str]) -> None:
    """As a full disk would: the state cannot be written."""
    failures = "fewstep_distill_artifact_failures_total"
    job, before = yard.job(), yard.scrape().get(failures)
    blocked = Path(yard.settings.artifacts, "jobs", job.id)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("in the way")
    yard.store.create(job, max_active=100)
    send_slice(make_celery(yard.settings), job.id, 0)
    record = yard.ended(job.id, JobState.FAILED)
    assert record.error is not None
    assert record.error["status"] == 503
    assert "free space" in record.error["detail"]
    wait_until(lambda: yard.scrape().get(failures) == before + 1, what="its metrics")
    blocked.unlink()
    _, fence = yard.store.retry(job.id, max_active=100)
    send_slice(make_celery(yard.settings), job.id, fence)
    yard.ended(job.id)
    assert yard.weights(job.id) == plain


def test_cancelling_takes_effect_in_every_state(yard: Yard, plain: dict[str, str]) -> None:
    queued = yard.job()
    yard.store.create(queued, max_active=100)
    assert yard.store.cancel(queued.id, ttl_s=100) is JobState.CANCELLED
    send_slice(make_celery(yard.settings), queued.id, 0)
    running = yard.submit(iterations=100_000)
    yard.wait_for_iteration(running)
    wait_until(lambda: yard.scrape().names() >= IN_HAND, what="metrics of the job")
    metrics = yard.scrape()
    assert metrics.get("fewstep_distill_loss", model="tiny", method="pd", steps="4") > 0
    assert metrics.get("fewstep_distill_gradient_norm", model="tiny", method="pd", steps="4") > 0
    assert metrics.get("fewstep_distill_iterations_per_second", model="tiny", method="pd") > 0
    assert 0 < metrics.get("fewstep_distill_progress_ratio", model="tiny", method="pd") < 1
    assert metrics.get("fewstep_distill_remaining_seconds", model="tiny", method="pd") > 0
    assert metrics.get("fewstep_device_memory_bytes", kind="used") > 100e6, "the process that trains is to be in it"
    assert httpx.get(f"http://127.0.0.1:{yard.port}/healthz").status_code == 200
    assert yard.store.cancel(running, ttl_s=100) is JobState.CANCELLING
    assert yard.store.cancel(running, ttl_s=100) in (JobState.CANCELLING, JobState.CANCELLED)  # however often
    stopped_at = yard.ended(running, JobState.CANCELLED)
    assert stopped_at.saved
    wait_until(lambda: not IN_HAND & yard.scrape().names(), what="their end")
    assert yard.scrape().get("fewstep_distill_slices_total", outcome="cancelled") == 1
    assert yard.store.cancel(running, ttl_s=100) is JobState.CANCELLED
    done = yard.submit()
    yard.ended(done)
    assert yard.store.cancel(done, ttl_s=100) is JobState.SUCCEEDED
    assert yard.weights(done) == plain
    _, fence = yard.store.retry(queued.id, max_active=100)
    send_slice(make_celery(yard.settings), queued.id, fence)
    yard.ended(queued.id)
    assert yard.weights(queued.id) == plain


def test_expired_jobs_are_removed_with_their_files(yard: Yard) -> None:
    job = yard.job()
    job_id = job.id
    yard.store.create(job, max_active=100)
    yard.store.cancel(job_id, ttl_s=100)
    yard.artifacts.put(Path(__file__), f"jobs/{job_id}/states/x")
    settings: Settings = yard.settings.model_copy(update={"job_ttl_s": 1e-3})
    time.sleep(0.01)
    JobSweep(yard.store, make_celery(settings), yard.artifacts, settings=settings)()
    assert yard.store.read(job_id) is None
    wait_until(lambda: yard.artifacts.files(f"jobs/{job_id}") == [], what="its files gone")
