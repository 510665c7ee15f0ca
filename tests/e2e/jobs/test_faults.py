"""Jobs whose workers die, freeze, hang and are stopped: none loses what it has learnt, or learns anything else."""

import signal
import time
from collections.abc import Iterator

import pytest

from core.broker import make_celery
from core.jobs.record import JobState
from core.jobs.store import MAX_ATTEMPTS
from tests.e2e.yard import SABOTEUR, Yard
from tests.processes import wait_until
from worker.distillation.worker import send_slice


@pytest.fixture(autouse=True)
def _nothing_left(yard: Yard) -> Iterator[None]:
    """Neither workers nor jobs, whatever became of the test."""
    yield
    for name in list(yard.workers):
        yard.stop(name, signal.SIGKILL)
    yard.store.redis.flushall()


def test_a_killed_worker_costs_nothing_but_time(yard: Yard, plain: dict[str, str]) -> None:
    job_id, _ = yard.submit_and_pause()
    yard.stop(sign=signal.SIGKILL)
    assert yard.record(job_id).state is JobState.RUNNING
    yard.start("another")
    record = yard.ended(job_id)
    assert yard.weights(job_id) == plain
    assert (record.slices, record.attempts) == (record.fence, 2)
    assert "lost" in [event.kind for event in yard.store.events(job_id)]


def test_a_worker_killed_between_saving_and_acknowledging_does_no_harm(yard: Yard, plain: dict[str, str]) -> None:
    worker = yard.start(module=SABOTEUR, SABOTAGE="kill all before release")
    job_id = yard.submit()
    wait_until(lambda: not worker.alive, what="the accident")
    saved = yard.record(job_id)
    assert saved.saved, "it was to be saved before"
    yard.start("another")
    yard.ended(job_id)
    assert yard.weights(job_id) == plain


def test_redis_killed_and_started_again_loses_nothing(yard: Yard, plain: dict[str, str]) -> None:
    job_id, mark = yard.submit_and_pause()
    yard.redis.stop(signal.SIGKILL)
    mark.unlink()
    time.sleep(1)  # the slice is the first to miss it
    yard.redis.start()
    yard.ended(job_id)
    assert yard.weights(job_id) == plain


def test_a_worker_that_is_stopped_leaves_within_an_iteration_and_another_fails_without_data_and_goes_on_with_it(
    yard: Yard, plain: dict[str, str]
) -> None:
    job_id, _ = yard.submit_and_pause(FEWSTEP_SLICE_S=1000)
    assert yard.stop() == 0
    left = yard.record(job_id)
    assert left.state is JobState.RUNNING
    assert left.lease == 0
    assert left.saved
    squares = yard.settings.datasets / "squares"
    squares.rename(yard.folder / "hidden")
    try:
        yard.start("another")
        failed = yard.ended(job_id, JobState.FAILED)
        assert failed.error is not None
        assert failed.error["field"] == "data"
        assert failed.saved == left.saved
    finally:
        (yard.folder / "hidden").rename(squares)
    outcome, fence = yard.store.retry(job_id, max_active=100)
    assert outcome == "queued"
    send_slice(make_celery(yard.settings), job_id, fence)
    again = yard.ended(job_id)
    assert again.error is None
    assert yard.weights(job_id) == plain


def test_of_two_workers_with_the_same_slice_one_publishes(yard: Yard, plain: dict[str, str]) -> None:
    frozen = yard.start(module=SABOTEUR, SABOTAGE="freeze before publishing")
    job_id = yard.submit()
    wait_until((yard.folder / "one" / "accident").exists, what="the accident")
    first = yard.record(job_id)
    yard.start("another")
    record = yard.ended(job_id)
    assert record.fence > first.fence
    assert yard.weights(job_id) == plain
    artifacts = {made.artifact for made in yard.serving().made.values() if made.job == job_id}
    frozen.thaw()
    wait_until(lambda: "hung" in yard.log() or "in other hands" in yard.log(), what="the late one giving up")
    assert {made.artifact for made in yard.serving().made.values() if made.job == job_id} == artifacts
    for _ in range(3):  # a message that comes again finds nothing to do
        send_slice(make_celery(yard.settings), job_id, first.fence)
    wait_until(lambda: yard.log("another").count("no slice to do") >= 1, what="dropped messages")
    assert yard.record(job_id) == record


def test_a_job_that_kills_its_worker_fails_with_its_last_words_and_one_that_hangs_is_done_again(
    yard: Yard, plain: dict[str, str]
) -> None:
    yard.start(module=SABOTEUR, SABOTAGE="die or hang")
    poisoned = yard.submit(name="poison")
    hangs = yard.submit()
    record = yard.ended(poisoned, JobState.FAILED)
    assert record.attempts == MAX_ATTEMPTS
    assert record.error is not None
    assert "SIGKILL" in record.error["detail"]
    assert "in round 1 after iteration 0" in record.error["detail"]
    yard.ended(hangs)
    assert yard.weights(hangs) == plain
    assert "its process hung and was killed" in yard.log()
    assert yard.scrape().get("fewstep_distill_slices_total", outcome="died") >= MAX_ATTEMPTS + 1
