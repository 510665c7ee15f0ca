import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from redis.asyncio import Redis as AsyncRedis

from core.catalog.artifacts import StorageAway
from core.generation import records, throughput, work
from core.generation.records import Record, Status
from core.generation.request import Generation, MediaType
from core.generation.work import Room
from models.sampling.engine import Sampler
from tests.generations import make_generation
from tests.processes import wait_until
from worker.sampling import metrics
from worker.sampling.batcher import Job
from worker.sampling.crew import Crew
from worker.sampling.dispatcher import Dispatcher, Group
from worker.sampling.generate import warm_up
from worker.sampling.sweep import sweep

pytestmark = pytest.mark.anyio


async def run(api: AsyncRedis, dispatcher: Dispatcher, **changes: object) -> Record:
    generation = make_generation(**changes)
    await records.submit(api, generation, ttl_s=100)
    work_off(dispatcher)
    return await read(api, generation)


def work_off(dispatcher: Dispatcher) -> None:
    """Do all that waits, to its end."""
    with Crew(dispatcher) as crew:
        crew.begin(take(dispatcher))


def take(dispatcher: Dispatcher) -> list[Generation]:
    """All that waits, in hand from now on."""
    return dispatcher.take(dispatcher.redis, Room(1000, 1000, 1000), waits=False, more=lambda: None)


async def read(api: AsyncRedis, generation: Generation) -> Record:
    record = await records.read(api, generation.id)
    assert record is not None
    return record


def outcomes(outcome: str) -> float:
    return float(metrics.GENERATIONS.labels(outcome)._value.get())


async def test_the_result_is_stored_with_its_facts(api: AsyncRedis, dispatcher: Dispatcher, tiny_family: Path) -> None:
    record = await run(api, dispatcher, media_type=MediaType.NPY)
    assert record.status is Status.SUCCEEDED
    assert isinstance(record.result, bytes)
    expected = Sampler(tiny_family / "4-step", device="cpu").sample(seeds=[7, 8])
    assert record.result.endswith(expected.tobytes())
    assert record.headers is not None
    assert record.headers["Fewstep-Seed"] == "7"
    assert not dispatcher.in_hand


async def test_what_was_submitted_twice_is_done_once(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    record = await run(api, dispatcher)
    images = metrics.IMAGES.labels("tiny", "4")._value.get()
    await records.submit(api, record.generation, ttl_s=100)
    work_off(dispatcher)
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images
    assert await read(api, record.generation) == record


async def test_past_its_deadline_it_fails_before_it_is_sampled(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    images = metrics.IMAGES.labels("tiny", "4")._value.get()
    record = await run(api, dispatcher, deadline=time.time() - 1)
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert record.problem["status"] == 504
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images


@contextmanager
def busy(dispatcher: Dispatcher) -> Iterator[None]:
    """The device works on something else meanwhile."""
    begun, free = threading.Event(), threading.Event()

    class Sticky:
        def sample_noise(self, *_: object, **__: object) -> list[int]:
            begun.set()
            free.wait(30)
            return [0]

    sampler = Sampler(dispatcher.settings.checkpoints / "tiny" / "1-step", device="cpu")
    sampler.sample_noise = Sticky().sample_noise  # type: ignore[method-assign,assignment]
    dispatcher.device.submit(Job(Group("other", sampler), [(0, 0)], max_batch=1))
    begun.wait(30)
    try:
        yield
    finally:
        free.set()


async def test_cancelled_while_it_waits_for_the_device(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    generation = make_generation()
    await records.submit(api, generation, ttl_s=100)
    cancelled, images = outcomes("cancelled"), metrics.IMAGES.labels("tiny", "4")._value.get()
    with busy(dispatcher):
        thread = threading.Thread(target=work_off, args=(dispatcher,))
        thread.start()
        while (await read(api, generation)).status is not Status.RUNNING:
            time.sleep(0.01)
        await records.cancel(api, generation.id, ttl_s=100)
        wait_until(lambda: (job := dispatcher.in_hand[generation.id]) is not None and job.done.done())
    thread.join(30)
    assert outcomes("cancelled") == cancelled + 1
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images
    assert (await read(api, generation)).status is Status.CANCELLED


async def test_its_deadline_passes_while_it_waits_for_the_device(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    generation = make_generation(deadline=time.time() + 0.3)
    await records.submit(api, generation, ttl_s=100)
    with busy(dispatcher):
        thread = threading.Thread(target=work_off, args=(dispatcher,))
        thread.start()
        time.sleep(0.4)
    thread.join(30)
    record = await read(api, generation)
    assert record.problem is not None
    assert record.problem["status"] == 504


async def test_a_checkpoint_that_this_worker_lacks(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    record = await run(api, dispatcher, checkpoint="3-step")
    assert record.problem is not None
    assert record.problem["title"] == "Damaged checkpoint"
    assert "no such checkpoint" in record.problem["detail"]


async def test_an_unforeseen_error_ends_the_record_and_tells_nothing_of_itself(
    api: AsyncRedis, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory, which is hard to bring about")

    monkeypatch.setattr(Sampler, "sample_noise", out_of_memory)
    failures = metrics.BATCH_FAILURES._value.get()
    record = await run(api, dispatcher)
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert record.problem["status"] == 500
    assert metrics.BATCH_FAILURES._value.get() > failures
    assert "log" in record.problem["detail"]
    assert not dispatcher.in_hand


async def test_requests_together_do_not_mix_up_images(
    api: AsyncRedis, dispatcher: Dispatcher, tiny_family: Path
) -> None:
    generations = [make_generation(n=1, seed=seed, media_type=MediaType.NPY) for seed in range(12)]
    for generation in generations:
        await records.submit(api, generation, ttl_s=100)
    work_off(dispatcher)
    images = Sampler(tiny_family / "4-step", device="cpu").sample(seeds=range(12))
    for generation, image in zip(generations, images, strict=True):
        result = (await read(api, generation)).result
        assert isinstance(result, bytes)
        np.testing.assert_array_equal(np.frombuffer(result[-image.size :], np.uint8), image.ravel())


def counted() -> dict[str, float]:
    """Every counter and histogram of a sampling worker, by series, but for those of loading."""
    families = (metric.collect() for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase))
    return {
        f"{sample.name} {sample.labels}": sample.value
        for (family,) in families
        if family.type in ("counter", "histogram") and "checkpoint" not in family.name
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_a_request_is_counted_by_model_and_steps(api: AsyncRedis, dispatcher: Dispatcher) -> None:
    labels = {"model": "tiny", "steps": "4"}
    before = counted()
    await run(api, dispatcher, n=3)
    after = counted()

    def gained(name: str, **labels: str) -> float:
        return after[f"{name} {labels}"] - before.get(f"{name} {labels}", 0)

    for name in ("queue_wait", "batch_wait", "sampling", "encoding", "generation"):
        assert gained(f"fewstep_{name}_seconds_count", **labels) == 1, name
    assert gained("fewstep_batch_images_count", **labels) == 1
    assert gained("fewstep_batch_images_sum", **labels) == gained("fewstep_images_generated_total", **labels) == 3
    sampler = dispatcher.samplers.get(dispatcher.settings.checkpoints / "tiny" / "4-step")
    assert gained("fewstep_batch_fill_ratio_sum") == pytest.approx(3 / sampler.max_batch)
    assert gained("fewstep_model_flop_total", **labels) == 3 * 4 * sampler.flops
    assert sampler.flops > 1e6
    assert gained("fewstep_batch_failures_total") == 0
    assert gained("fewstep_generations_total", outcome="succeeded") == 1


def test_warming_up_is_no_traffic_and_survives_damage(dispatcher: Dispatcher, tmp_path: Path) -> None:
    before, loads = counted(), metrics.LOADS.labels("succeeded")._value.get()
    warm_up(dispatcher)
    assert counted() == before
    assert metrics.LOADS.labels("succeeded")._value.get() == loads + 4
    root = Path(shutil.copytree(dispatcher.settings.checkpoints, tmp_path / "checkpoints"))
    (root / "tiny" / "4-step" / "card.json").write_text("{}")
    damaged = dispatcher.settings.model_copy(update={"checkpoints": root})
    with Dispatcher(damaged, dispatcher.redis, "w1") as other:
        warm_up(other)


def test_families_to_prewarm_are_loaded_wherever_they_lie(
    dispatcher: Dispatcher, conditional_family: Path, tmp_path: Path
) -> None:
    shutil.copytree(conditional_family, tmp_path / "teachers" / "classes")
    changes = {"teachers": tmp_path / "teachers", "prewarm": ["classes"], "default_model": "tiny"}
    with Dispatcher(dispatcher.settings.model_copy(update=changes), dispatcher.redis, "w1") as other:
        warm_up(other)
        warm = {name.split("/")[0] for name in other.costs.seconds}
    assert warm == {"tiny", "classes"}


async def test_of_a_family_that_is_gone_nothing_is_kept(
    api: AsyncRedis, dispatcher: Dispatcher, tiny_family: Path
) -> None:
    gone = dispatcher.settings.checkpoints / "gone"
    shutil.copytree(tiny_family, gone)
    try:
        for model in ("gone", "tiny"):
            await run(api, dispatcher, model=model)
        throughput.report(dispatcher.redis, dispatcher.costs.seconds)
        assert len(dispatcher.costs.seconds) == 2
        assert len(await throughput.costs(api)) == 2
    finally:
        shutil.rmtree(gone)
    dispatcher.forget_gone()
    shown = generate_latest().decode()
    assert 'model="tiny"' in shown
    assert 'model="gone"' not in shown
    assert len(dispatcher.samplers.loaded()) == 1
    assert list(dispatcher.costs.seconds) == list(await throughput.costs(api))
    assert [name.partition("/")[0] for name in dispatcher.costs.seconds] == ["tiny"]


async def test_while_the_artifact_store_is_away_who_waits_is_told_and_the_rest_stays_queued(
    api: AsyncRedis, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageAway("object storage does not answer in time")

    monkeypatch.setattr(dispatcher.artifacts, "folder", away)
    record = await run(api, dispatcher, artifact="jobs/a/1-step", deadline=time.time() + 60)
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert (record.problem["status"], record.problem["detail"]) == (503, "object storage does not answer in time")
    record = await run(api, dispatcher, artifact="jobs/a/1-step")
    assert record.status is Status.RUNNING
    sweep(dispatcher.redis, *dispatcher.running(), worker=dispatcher.worker, result_ttl_s=100)
    assert (await read(api, record.generation)).status is Status.QUEUED
    assert work.attempts(dispatcher.redis, record.generation.id) == 0
