import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis as AsyncRedis

from core import records
from core.connections import connect, connect_async
from core.generation import Generation, MediaType
from core.records import Record, Status
from core.settings import Settings
from models.engine import Sampler
from tests.generations import make_generation
from worker import sampling_metrics as metrics
from worker.batcher import Job
from worker.desk import Desk, Group
from worker.generate import generate, warm_up

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk(redis_settings: Settings, tiny_family: Path) -> Iterator[Desk]:
    update = {"checkpoints": tiny_family.parent, "default_model": "tiny", "device": "cpu"}
    settings = redis_settings.model_copy(update=update)
    with Desk(settings, connect(settings), "w1") as desk:
        yield desk


@pytest.fixture
async def api(redis_settings: Settings) -> AsyncIterator[AsyncRedis]:
    async with connect_async(redis_settings) as redis:
        yield redis


async def run(api: AsyncRedis, desk: Desk, **changes: object) -> Record:
    generation = make_generation(**changes)
    await records.create(api, generation, ttl_s=100)
    generate(generation.id, desk)
    return await read(api, generation)


async def read(api: AsyncRedis, generation: Generation) -> Record:
    record = await records.read(api, generation.id)
    assert record is not None
    return record


def outcomes(outcome: str) -> float:
    return float(metrics.GENERATIONS.labels(outcome)._value.get())


async def test_the_result_is_stored_with_its_facts(api: AsyncRedis, desk: Desk, tiny_family: Path) -> None:
    record = await run(api, desk, media_type=MediaType.NPY)
    assert record.status is Status.SUCCEEDED
    assert isinstance(record.result, bytes)
    expected = Sampler(tiny_family / "4-step", device="cpu").sample(seeds=[7, 8])
    assert record.result.endswith(expected.tobytes())
    assert record.headers is not None
    assert record.headers["Fewstep-Seed"] == "7"
    assert not desk.in_hand


async def test_a_message_that_comes_again_does_nothing(api: AsyncRedis, desk: Desk) -> None:
    record = await run(api, desk)
    images = metrics.IMAGES.labels("tiny", "4")._value.get()
    generate(record.generation.id, desk)
    generate("0" * 32, desk)
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images
    assert await read(api, record.generation) == record


async def test_past_its_deadline_it_fails_before_it_is_sampled(api: AsyncRedis, desk: Desk) -> None:
    images = metrics.IMAGES.labels("tiny", "4")._value.get()
    record = await run(api, desk, deadline=time.time() - 1)
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert record.problem["status"] == 504
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images


@contextmanager
def busy(desk: Desk) -> Iterator[None]:
    """The device works on something else meanwhile."""
    begun, free = threading.Event(), threading.Event()

    class Sticky:
        def sample_noise(self, *_: object, **__: object) -> list[int]:
            begun.set()
            free.wait(30)
            return [0]

    sampler = Sampler(desk.settings.checkpoints / "tiny" / "1-step", device="cpu")
    sampler.sample_noise = Sticky().sample_noise  # type: ignore[method-assign,assignment]
    desk._device.submit(Job(Group("other", sampler), [(0, 0)], max_batch=1))
    begun.wait(30)
    try:
        yield
    finally:
        free.set()


async def test_cancelled_while_it_waits_for_the_device(api: AsyncRedis, desk: Desk) -> None:
    generation = make_generation()
    await records.create(api, generation, ttl_s=100)
    cancelled, images = outcomes("cancelled"), metrics.IMAGES.labels("tiny", "4")._value.get()
    with busy(desk):
        thread = threading.Thread(target=generate, args=(generation.id, desk))
        thread.start()
        while (await read(api, generation)).status is not Status.RUNNING:
            time.sleep(0.01)
        await records.cancel(api, generation.id, ttl_s=100)
        thread.join(30)
        assert outcomes("cancelled") == cancelled + 1
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images
    assert (await read(api, generation)).status is Status.CANCELLED


async def test_its_deadline_passes_while_it_waits_for_the_device(api: AsyncRedis, desk: Desk) -> None:
    generation = make_generation(deadline=time.time() + 0.3)
    await records.create(api, generation, ttl_s=100)
    with busy(desk):
        thread = threading.Thread(target=generate, args=(generation.id, desk))
        thread.start()
        time.sleep(0.4)
    thread.join(30)
    record = await read(api, generation)
    assert record.problem is not None
    assert record.problem["status"] == 504


async def test_a_checkpoint_that_this_worker_lacks(api: AsyncRedis, desk: Desk) -> None:
    record = await run(api, desk, checkpoint="3-step")
    assert record.problem is not None
    assert record.problem["title"] == "Damaged checkpoint"
    assert "no such checkpoint" in record.problem["detail"]


async def test_an_unforeseen_error_ends_the_record_and_tells_nothing_of_itself(
    api: AsyncRedis, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory, which is hard to bring about")

    monkeypatch.setattr(Sampler, "sample_noise", out_of_memory)
    record = await run(api, desk)
    assert record.status is Status.FAILED
    assert record.problem is not None
    assert record.problem["status"] == 500
    assert "log" in record.problem["detail"]
    assert not desk.in_hand


async def test_many_threads_do_not_mix_up_images(api: AsyncRedis, desk: Desk, tiny_family: Path) -> None:
    generations = [make_generation(n=1, seed=seed, media_type=MediaType.NPY) for seed in range(12)]
    for generation in generations:
        await records.create(api, generation, ttl_s=100)
    threads = [threading.Thread(target=generate, args=(generation.id, desk)) for generation in generations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    images = Sampler(tiny_family / "4-step", device="cpu").sample(seeds=range(12))
    for generation, image in zip(generations, images, strict=True):
        result = (await read(api, generation)).result
        assert isinstance(result, bytes)
        np.testing.assert_array_equal(np.frombuffer(result[-image.size :], np.uint8), image.ravel())


def test_warming_up_is_no_traffic_and_survives_damage(desk: Desk, tmp_path: Path) -> None:
    images = metrics.IMAGES.labels("tiny", "4")._value.get()
    warm_up(desk)
    assert metrics.IMAGES.labels("tiny", "4")._value.get() == images
    root = Path(shutil.copytree(desk.settings.checkpoints, tmp_path / "checkpoints"))
    (root / "tiny" / "4-step" / "card.json").write_text("{}")
    damaged = desk.settings.model_copy(update={"checkpoints": root})
    with Desk(damaged, desk.redis, "w1") as other:
        warm_up(other)
