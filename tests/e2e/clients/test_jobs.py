"""Jobs by the package `fewstep_client`, against a service that distils."""

import asyncio
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewstep_client import AsyncClient, Cancelled, Client, Conflict, Event, InvalidRequest
from tests.e2e.stack import Stack, is_ready
from tests.processes import wait_until

pytestmark = pytest.mark.slow

SHORT: dict[str, Any] = {"method": "pd", "from_steps": 4, "to_steps": 2, "iterations": 2, "batch_size": 4}
SHORT |= {"data": "synthetic", "evaluate": None}


@pytest.fixture
def client(distilling: Stack) -> Iterator[Client]:
    """A client of the service that distils."""
    distilling.ensure_ready()
    with Client(str(distilling.api.base_url), retries=8) as client:
        yield client


def test_a_job_from_submission_to_its_student(client: Client, tmp_path: Path) -> None:
    job = client.distill("tiny/4-step", name="of-a-client", **SHORT)
    kinds = [event.kind for event in job.events()]
    assert job.wait(progress=False).document.state == "succeeded"
    assert kinds.count("state") >= 2
    assert job.document.progress == 1
    (made,) = job.document.finished
    assert (made.steps, made.checkpoint) == (2, "of-a-client/2-step")
    assert job.samples(1).data.startswith(b"\x89PNG")
    assert client.generate(model="of-a-client", steps=2, seed=1)[0].data
    path = client.download(made.checkpoint, tmp_path / "student.zip")
    assert any(name.endswith("model_index.json") for name in zipfile.ZipFile(path).namelist())
    assert list(tmp_path.iterdir()) == [path]
    assert job.id in [one.id for one in client.jobs("succeeded")]
    with pytest.raises(Conflict):
        job.cancel()
    job.delete()
    assert job.id not in [one.id for one in client.jobs()]


def test_a_key_that_is_used_again_is_the_same_job_which_is_called_off_and_taken_up(client: Client) -> None:
    long = {**SHORT, "iterations": 40_000}
    job = client.distill("tiny/4-step", name="called-off", idempotency_key="once", **long)
    assert client.distill("tiny/4-step", name="called-off", idempotency_key="once", **long).id == job.id
    with pytest.raises(InvalidRequest) as refused:
        client.distill("tiny/4-step", name="another", idempotency_key="once", **long)
    assert refused.value.field == "Idempotency-Key"
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(progress=False)
    job.retry()
    assert job.refresh().state in ("queued", "running")
    job.cancel()
    with pytest.raises(Cancelled):
        client.job(job.id).wait(progress=False)


def test_events_go_on_where_a_service_was_that_died(client: Client, distilling: Stack) -> None:
    job = client.distill("tiny/4-step", name="heard-of", **SHORT)
    told: list[Event] = []
    for event in job.events():
        assert event.id not in [one.id for one in told]
        told.append(event)
        if len(told) == 2:
            distilling.stop("api", signal.SIGKILL)
            distilling.start("api")
    wait_until(lambda: is_ready(distilling.api), what="the service")
    assert [event.id for event in told] == [event.id for event in job.events()]
    assert told[-1].data["state"] == "succeeded"
    assert [event.id for event in job.events(after=told[2].id)] == [event.id for event in told[3:]]

    async def hear() -> list[str]:
        async with AsyncClient(str(distilling.api.base_url)) as client:
            found = {one.id: one async for one in client.jobs("succeeded")}
            return [event.id async for event in (await found[job.id].wait(progress=False)).events()]

    assert asyncio.run(hear()) == [event.id for event in told]
