"""When the process that trains is kept, and when it ends."""

from collections.abc import Callable

import pytest
from redis import Redis

from core.broker import make_celery
from core.jobs.record import JobRecord, JobState
from core.jobs.store import JobStore
from core.settings import Settings
from tests.jobs import create
from worker.distillation import worker
from worker.distillation.worker import Foreman
from worker.heartbeat import Pulse


def make_idler(*_: object) -> Callable[[str, int], None]:
    """Slices in which nothing is done and after which nothing comes."""
    return lambda _job_id, _after: None


def test_the_next_job_finds_the_process_of_the_last_one_which_ends_when_none_is_left(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "make_slice_runner", make_idler)
    store = JobStore(Redis.from_url(redis_settings.redis_url.get_secret_value()))
    foreman = Foreman(redis_settings, store, make_celery(redis_settings), "one", Pulse(1.0))

    def work() -> JobRecord:
        job = create(store)
        foreman.work(job.id, 0)
        record = store.read(job.id)
        assert record is not None
        return record

    def end(record: JobRecord) -> None:
        fence = store.acquire(record.job.id, record.fence, "one", lease_s=100, ttl_s=100)
        assert fence is not None
        assert store.end(record.job.id, fence, JobState.CANCELLED, ttl_s=100)

    end(work())
    pids = foreman.pids()
    assert len(pids) == 2
    foreman.tidy(store)
    second = work()
    assert foreman.pids() == pids
    monkeypatch.setattr(worker, "KEEP_CHILD_S", 0.0)
    foreman.tidy(store)
    assert foreman.pids() == pids, "a job may need it"
    end(second)
    foreman.tidy(store)
    assert foreman.pids() == pids[:1]
