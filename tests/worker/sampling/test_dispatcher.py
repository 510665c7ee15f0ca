"""What a worker does with its device: in which precision, with how many threads, and when it is lost."""

import json
import os
import threading
from pathlib import Path

import pytest
from redis.asyncio import Redis as AsyncRedis

from core import presence
from core.generation import records
from core.generation.records import Status
from core.generation.request import MediaType
from core.queues import Queue
from models.sampling.engine import Sampler
from tests.generations import make_generation
from tests.processes import wait_until
from tests.worker.sampling.test_generate import read, run, take
from worker.sampling import dispatcher as module
from worker.sampling import metrics
from worker.sampling.crew import Crew
from worker.sampling.dispatcher import Dispatcher

pytestmark = pytest.mark.anyio


async def test_answer_and_metrics_say_in_what_it_was_sampled(
    api: AsyncRedis, dispatcher: Dispatcher, tiny_family: Path
) -> None:
    checkpoint = tiny_family / "4-step"
    images = {}
    for precision in ("fp32", "bf16"):
        settings = dispatcher.settings.model_copy(update={"precision": precision})
        with Dispatcher(settings, dispatcher.redis, "w1") as other:
            before = metrics.PRECISIONS.labels(precision)._value.get()
            record = await run(api, other, media_type=MediaType.NPY)
            assert metrics.PRECISIONS.labels(precision)._value.get() == before + 2
            assert other.precisions() == {"tiny/4-step": precision}
            answer = json.loads((await run(api, other, media_type=MediaType.JSON)).result)
        assert record.headers is not None
        assert record.headers["Fewstep-Precision"] == answer["precision"] == precision
        assert isinstance(record.result, bytes)
        images[precision] = record.result
        expected = Sampler(checkpoint, device="cpu", precision=precision).sample(seeds=[7, 8])
        assert record.result.endswith(expected.tobytes())
    assert images["fp32"] != images["bf16"]


def test_why_a_gpu_is_slower_than_it_could_be_is_told_once(dispatcher: Dispatcher) -> None:
    folder = dispatcher.settings.checkpoints / "tiny"
    assert dispatcher.obstacles() == []
    dispatcher.samplers.get(folder / "1-step").facts.update(compiled="there is no C compiler (gcc or clang)")
    dispatcher.samplers.get(folder / "2-step").facts.update(compiled="there is no C compiler (gcc or clang)")
    dispatcher.samplers.get(folder / "4-step").facts.update(
        compiled=True, not_recorded={8: "no memory", 64: "no memory"}
    )
    assert dispatcher.obstacles() == ["no memory", "there is no C compiler (gcc or clang)"]


class Ended(BaseException):
    """In place of the end of this process."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("where", ["sample_noise", "load"])
async def test_a_worker_whose_device_is_lost_ends_and_fails_nothing(
    api: AsyncRedis, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    ended = threading.Event()

    def end(code: int) -> None:
        assert code == 1
        ended.set()
        raise Ended

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(module, "is_lost", lambda _: True)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(Sampler, "sample_noise" if where == "sample_noise" else "__init__", fail)
    presence.announce(dispatcher.redis, Queue.SAMPLING, "w1", {}, heartbeat_s=100)
    generation = make_generation()
    await records.submit(api, generation, ttl_s=100)
    crew = Crew(dispatcher)
    crew.begin(take(dispatcher))
    assert ended.wait(60)
    wait_until(lambda: presence.dead(dispatcher.redis, {"w1"}) == {"w1"}, what="others to know")
    assert (await read(api, generation)).status is Status.RUNNING, "others take it over from the dead"
    # Or threads would wait for ever.
    if (job := dispatcher.in_hand[generation.id]) is not None:
        job.end(TimeoutError())
    for _, sampler in dispatcher.samplers._loaded.values():
        if not sampler.done():
            sampler.set_exception(TimeoutError())
    crew._loading.shutdown()  # while Redis is still there
    for thread in threading.enumerate():
        if thread.name == "load":
            thread.join()  # or its end would be held against the next test
