"""Object storage that hangs in the middle of a job: the job waits, says so, and comes to the same weights."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.jobs.record import JobState
from tests.e2e.yard import Yard
from tests.processes import S3Server, s3_server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path, server: S3Server) -> Iterator[Yard]:
    yard = Yard(tmp_path_factory.mktemp("away"), tiny_family, artifacts=f"{server.bucket}/artifacts")
    yield yard
    yard.close()


def test_a_job_waits_for_storage_that_hangs_and_its_files_go_once_it_is_back(yard: Yard, server: S3Server) -> None:
    plain = yard.submit(iterations=3)
    yard.start(slice_s=20)
    yard.ended(plain)
    expected = yard.weights(plain)
    job_id = yard.submit(iterations=3)
    server.process.freeze()
    try:
        wait_until(lambda: "waiting" in kinds(yard, job_id), what="the job waiting")
        assert yard.store.delete(plain, yard.record(plain).job.name) == ("deleted", "")
        record = yard.record(job_id)
        assert record.state is JobState.RUNNING
        assert record.lease > yard.store.now()
        wait_until(lambda: yard.scrape().get("fewstep_distill_artifact_failures_total") >= 1, what="its metrics")
    finally:
        server.process.thaw()
    yard.ended(job_id)
    assert yard.weights(job_id) == expected
    assert "does not answer in time" in next(
        event.data for event in yard.store.events(job_id) if event.kind == "waiting"
    )
    wait_until(lambda: yard.artifacts.files(f"jobs/{plain}") == [], what="the files of the other gone")
    assert yard.store.discarded() == []
    assert yard.stop(sign=signal.SIGTERM) == 0


def kinds(yard: Yard, job_id: str) -> set[str]:
    return {event.kind for event in yard.store.events(job_id)}
