from pathlib import Path

import pytest

from core.connections import connect
from core.jobs.record import JobState
from core.jobs.store import JobStore
from core.settings import Settings
from tests.jobs import make_job
from worker.distillation import slices
from worker.distillation.slices import make_slice_runner


def test_a_lost_gpu_ends_the_process_and_not_the_job(
    redis_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(slices, "_work", fail)
    settings = redis_settings.model_copy(update={"var": tmp_path, "artifacts": str(tmp_path / "artifacts")})
    with connect(settings) as redis:
        store = JobStore(redis)
        run = make_slice_runner(settings, "w1", lambda: False, lambda _: None)
        for lost, state in ((True, JobState.RUNNING), (False, JobState.FAILED)):
            monkeypatch.setattr(slices, "is_lost", lambda lost=lost: lost)
            job = make_job()
            store.create(job, max_active=9)
            if lost:
                with pytest.raises(RuntimeError, match="illegal memory access"):
                    run(job.id, 0)
            else:
                run(job.id, 0)
            record = store.read(job.id)
            assert record is not None
            assert record.state is state
