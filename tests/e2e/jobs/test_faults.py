"""Distillation jobs on real workers: what they come to, and what becomes of them when something dies."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.broker import make_celery
from core.catalog.card import read_card
from core.jobs.record import JobState
from core.jobs.store import MAX_ATTEMPTS
from core.settings import Settings
from models.cli.runs import distill_chain
from models.sampling.engine import Sampler
from models.training.trainer import TrainConfig
from tests.e2e.yard import SABOTEUR, Yard
from tests.methods import PD
from tests.processes import wait_until
from worker.distillation.sweep import JobSweep
from worker.distillation.worker import send_slice

IN_HAND = {
    f"fewstep_distill_{name}"
    for name in ("loss", "gradient_norm", "iterations_per_second", "progress_ratio", "remaining_seconds")
}
"""Metrics of a job in hand."""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path_factory.mktemp("yard"), tiny_family)
    yield yard
    yard.close()


@pytest.fixture(autouse=True)
def _nothing_left(yard: Yard) -> Iterator[None]:
    """Neither workers nor jobs, whatever became of the test."""
    yield
    for name in list(yard.workers):
        yard.stop(name, signal.SIGKILL)
    yard.store.redis.flushall()


@pytest.fixture(scope="module")
def plain(yard: Yard, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hash of the weights that the command line makes of the same request, in one piece."""
    out = tmp_path_factory.mktemp("plain") / "family"
    distill_chain(
        teacher=yard.family / "8-step",
        from_steps=8,
        to_steps=2,
        out=out,
        method=PD,
        data=str(yard.settings.datasets / "squares"),
        config=TrainConfig(iterations=30, batch_size=16, learning_rate=5e-5, decay="cosine"),
        device="cpu",
    )
    return {folder.name: read_card(folder).sha256 for folder in out.iterdir()}


def test_many_slices_learn_what_one_run_of_the_command_line_does(yard: Yard, plain: dict[str, str]) -> None:
    yard.start(slice_s=0.3)
    job_id = yard.submit(name="sliced")
    record = yard.ended(job_id)
    assert record.fence >= 2, "it was to take several slices"
    assert (record.slices, record.attempts) == (record.fence, 1)
    assert yard.weights(job_id) == plain
    assert [result.steps for result in record.rounds] == [4, 2]
    assert (record.round, record.iteration) == (1, 60)
    assert record.history[-1][0] == 30 + 60
    made = yard.serving().made["sliced", "2-step"]
    assert made.card.parent == "sliced/4-step"
    assert yard.serving().made["sliced", "4-step"].card.parent == "tiny/8-step"
    folder = yard.artifacts.folder(made.artifact)
    assert Sampler(folder, device="cpu").sample(seeds=[0]).shape == (1, 8, 8, 3)
    assert next(yard.artifacts.read(record.rounds[0].samples)).startswith(b"\x89PNG")
    assert yard.artifacts.files(f"jobs/{job_id}/states") == []
    kinds = [event.kind for event in yard.store.events(job_id)]
    assert kinds[:2] == ["state", "state"]
    assert kinds[-1] == "state"
    assert {"progress", "saved", "round"} <= set(kinds)
    subject = {"model": "tiny", "method": "pd"}
    wait_until(lambda: yard.scrape().get("fewstep_distill_slices_total", outcome="finished") == 1, what="its metrics")
    metrics = yard.scrape()
    assert metrics.get("fewstep_distill_slices_total", outcome="over") == record.fence - 1
    assert metrics.get("fewstep_distill_iterations_total", **subject) == 30 + 60
    assert metrics.get("fewstep_distill_round_seconds_count", **subject) == 2
    assert metrics.get("fewstep_distill_nonfinite_total", **subject) == 0
    assert metrics.get("fewstep_distill_slices_total", outcome="died") == 0
    wait_until(lambda: not IN_HAND & yard.scrape().names(), what="an idle worker")


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


def test_a_worker_that_is_stopped_leaves_within_an_iteration_and_another_goes_on(
    yard: Yard, plain: dict[str, str]
) -> None:
    job_id, _ = yard.submit_and_pause(FEWSTEP_SLICE_S=1000)
    assert yard.stop() == 0
    record = yard.record(job_id)
    assert record.state is JobState.RUNNING
    assert record.lease == 0
    assert record.saved
    yard.start("another")
    yard.ended(job_id)
    assert yard.weights(job_id) == plain


def test_of_two_workers_with_the_same_slice_one_publishes(yard: Yard, plain: dict[str, str]) -> None:
    frozen = yard.start(module=SABOTEUR, SABOTAGE="freeze before publishing")
    job_id = yard.submit()
    wait_until((yard.folder / "one" / "accident").exists, timeout_s=90, what="the accident")
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


def test_a_job_that_kills_its_worker_fails_with_its_last_words_and_others_are_done(yard: Yard) -> None:
    yard.start(module=SABOTEUR, SABOTAGE="die")
    poisoned = yard.submit(name="poison")
    good = yard.submit()
    record = yard.ended(poisoned, JobState.FAILED)
    assert record.attempts == MAX_ATTEMPTS
    assert record.error is not None
    assert "SIGKILL" in record.error["detail"]
    assert "in round 1 after iteration 0" in record.error["detail"]
    yard.ended(good)


def test_a_slice_that_hangs_is_killed_and_done_again(yard: Yard, plain: dict[str, str]) -> None:
    yard.start(module=SABOTEUR, SABOTAGE="hang")
    job_id = yard.submit()
    yard.ended(job_id)
    assert "hung" in yard.log()
    assert yard.scrape().get("fewstep_distill_slices_total", outcome="died") >= 1
    assert yard.weights(job_id) == plain


def test_a_loss_that_explodes_fails_the_job_and_keeps_the_last_good_state(yard: Yard) -> None:
    yard.start()
    job_id = yard.submit(learning_rate=1.0, iterations=2000)
    record = yard.ended(job_id, JobState.FAILED)
    assert record.error is not None
    assert "lower learning rate" in record.error["detail"]
    wait_until(lambda: yard.scrape().sum("fewstep_distill_nonfinite_total") == 1, what="its metrics")
    assert yard.scrape().get("fewstep_distill_artifact_failures_total") == 0


def test_missing_data_fails_the_job_and_a_retry_goes_on_from_its_state(yard: Yard, plain: dict[str, str]) -> None:
    job_id, _ = yard.submit_and_pause()
    assert yard.stop() == 0
    squares = yard.settings.datasets / "squares"
    squares.rename(yard.folder / "hidden")
    try:
        yard.start("another")
        failed = yard.ended(job_id, JobState.FAILED)
        assert failed.error is not None
        assert failed.error["field"] == "data"
    finally:
        (yard.folder / "hidden").rename(squares)
    outcome, fence = yard.store.retry(job_id, max_active=100)
    assert outcome == "queued"
    send_slice(make_celery(yard.settings), job_id, fence)
    again = yard.ended(job_id)
    assert again.error is None
    assert yard.weights(job_id) == plain


def test_storage_that_fails_is_said_and_a_retry_succeeds(yard: Yard, plain: dict[str, str]) -> None:
    """As a full disk would: the state cannot be written."""
    job = yard.job()
    blocked = Path(yard.settings.artifacts, "jobs", job.id)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("in the way")
    yard.store.create(job, max_active=100)
    send_slice(make_celery(yard.settings), job.id, 0)
    yard.start()
    record = yard.ended(job.id, JobState.FAILED)
    assert record.error is not None
    assert record.error["status"] == 503
    assert "free space" in record.error["detail"]
    wait_until(lambda: yard.scrape().get("fewstep_distill_artifact_failures_total") == 1, what="its metrics")
    blocked.unlink()
    _, fence = yard.store.retry(job.id, max_active=100)
    send_slice(make_celery(yard.settings), job.id, fence)
    yard.ended(job.id)
    assert yard.weights(job.id) == plain


def test_cancelling_takes_effect_in_every_state(yard: Yard, plain: dict[str, str]) -> None:
    queued = yard.submit()
    assert yard.store.cancel(queued, ttl_s=100) is JobState.CANCELLED
    yard.start(slice_s=1000)
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
    _, fence = yard.store.retry(queued, max_active=100)
    send_slice(make_celery(yard.settings), queued, fence)
    yard.ended(queued)
    assert yard.weights(queued) == plain


def test_two_jobs_take_turns(yard: Yard) -> None:
    jobs = [yard.submit(iterations=10) for _ in range(2)]
    yard.start(slice_s=0.01)
    saved = []
    for job_id in jobs:
        yard.ended(job_id)
        at = [tuple(map(int, event.id.split("-"))) for event in yard.store.events(job_id) if event.kind == "saved"]
        saved.append((at[0], at[-1]))
    assert max(first for first, _ in saved) < min(last for _, last in saved), "one waited until the other had ended"


def test_a_lost_message_is_sent_again(yard: Yard) -> None:
    job = yard.job(iterations=5)
    yard.store.create(job, max_active=100)
    yard.start()
    yard.ended(job.id)


def test_expired_jobs_are_removed_with_their_files(yard: Yard) -> None:
    job_id = yard.submit()
    yard.store.cancel(job_id, ttl_s=100)
    yard.artifacts.put(Path(__file__), f"jobs/{job_id}/states/x")
    settings: Settings = yard.settings.model_copy(update={"job_ttl_s": 1e-3})
    time.sleep(0.01)
    JobSweep(yard.store, make_celery(settings), yard.artifacts, settings=settings)()
    assert yard.store.read(job_id) is None
    wait_until(lambda: yard.artifacts.files(f"jobs/{job_id}") == [], what="its files gone")
