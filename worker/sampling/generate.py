"""One generation from its record to its result; knows nothing of Celery."""

import time

import numpy as np
import structlog
from redis.exceptions import RedisError

from core import tracing
from core.catalog.artifacts import StorageAway
from core.catalog.card import Family
from core.errors import FewstepError
from core.generation import records
from core.generation.request import Generation, Timings, fact_headers, served_steps
from core.log import get_logger
from worker.sampling import metrics
from worker.sampling.batcher import Job
from worker.sampling.chunks import CHUNK_IMAGES, ChunkedDocument
from worker.sampling.dispatcher import Dispatcher, Group, NotWanted
from worker.sampling.render import render

log = get_logger(__name__)


def generate(record_id: str, dispatcher: Dispatcher) -> None:
    """Do what the record says, and write its end into it: the result, or the problem.

    Does nothing if it is not to be done any more, or is in other hands.
    """
    with dispatcher.holding(record_id) as is_new:
        generation = records.start(dispatcher.redis, record_id, dispatcher.worker) if is_new else None
        if generation is None:
            metrics.GENERATIONS.labels("dropped").inc()
            log.info("dropped before it began", id=record_id)
            return
        taken = time.monotonic()
        metrics.QUEUE_SECONDS.labels(*_labels(generation)).observe(max(taken - generation.created, 0))
        with tracing.span("queue", parent=generation.trace, began=time.time() - (taken - generation.created)):
            pass  # it is over
        with (
            structlog.contextvars.bound_contextvars(request_id=generation.request_id, id=record_id),
            tracing.span("generate", parent=generation.trace, kind="CONSUMER", model=generation.model, id=record_id),
        ):
            outcome = _end(generation, dispatcher, taken)
            tracing.describe("generate", failed=outcome == "failed", outcome=outcome)
            metrics.GENERATIONS.labels(outcome).inc()


def _end(generation: Generation, dispatcher: Dispatcher, taken: float) -> str:
    """Sample what was taken at that time, and record how it ended. Returns the outcome."""
    try:
        return _sample(generation, dispatcher, taken)
    except NotWanted:
        log.info("cancelled while in hand")
        return "cancelled"
    except RedisError as error:
        # Only where this process is to end (`core.connections`); the record says whose it was, and another takes it up.
        log.warning("left, since Redis is away", error=str(error))
        return "dropped"
    except StorageAway as error:
        log.warning("the artifact store is away", detail=error.detail, waits=generation.deadline is None)
        if generation.deadline is None:  # the sweep announces it again
            records.put_back(dispatcher.redis, generation.id, dispatcher.worker, counts=False)
            return "dropped"
        problem = error.problem()
    except FewstepError as error:
        log.warning("failed", detail=error.detail)
        problem = error.problem()
    except Exception:
        log.exception("failed unexpectedly")
        problem = FewstepError("sampling failed unexpectedly; the worker's log has it under the request_id").problem()
    ttl_s = dispatcher.settings.result_ttl_s
    records.fail(dispatcher.redis, generation.id, dispatcher.worker, problem=problem, ttl_s=ttl_s)
    return "failed"


def _sample(generation: Generation, dispatcher: Dispatcher, taken: float) -> str:
    group = dispatcher.group(generation)
    document, timings = (_in_chunks if generation.pieces else _at_once)(generation, dispatcher, group)
    began = generation.created + timings.queue
    metrics.BATCH_WAIT_SECONDS.labels(*_labels(generation)).observe(max(began - taken, 0))
    metrics.SAMPLING_SECONDS.labels(*_labels(generation)).observe(timings.sample)
    metrics.ENCODING_SECONDS.labels(*_labels(generation)).observe(timings.encode)
    kept = records.succeed(
        dispatcher.redis,
        generation.id,
        dispatcher.worker,
        result=document,
        headers=fact_headers(generation, timings, precision=group.sampler.precision),
        ttl_s=dispatcher.settings.result_ttl_s,
    )
    if kept:
        metrics.GENERATION_SECONDS.labels(*_labels(generation)).observe(max(time.monotonic() - generation.created, 0))
    log.info("generated" if kept else "generated for nobody", n=generation.n, steps=generation.steps, **dict(timings))
    return "succeeded" if kept else "cancelled"


def _at_once(generation: Generation, dispatcher: Dispatcher, group: Group) -> tuple[bytes, Timings]:
    job = dispatcher.submit(generation, group, generation.seeds)
    images = np.stack(job.done.result())
    with tracing.span("encode"):
        precision = group.sampler.precision
        return render(images, generation, precision=precision, queue_s=_queue_s(generation, job), sample_s=job.busy_s)


def _in_chunks(generation: Generation, dispatcher: Dispatcher, group: Group) -> tuple[bytes, Timings]:
    """Write the result chunk by chunk, each while the next is sampled, so that no more than two are held at a time."""
    document = ChunkedDocument(generation, group.sampler.card.image_shape)
    parts = [generation.seeds[start : start + CHUNK_IMAGES] for start in range(0, generation.n, CHUNK_IMAGES)]
    job = first = dispatcher.submit(generation, group, parts[0])
    encode_s = busy_s = 0.0
    for number, part in enumerate(parts):
        images = np.stack(job.done.result())
        busy_s += job.busy_s
        if part is not parts[-1]:
            job = dispatcher.submit(generation, group, parts[number + 1])
        started = time.perf_counter()
        with tracing.span("encode"):
            chunk = document.add(part, images) + (document.end() if part is parts[-1] else b"")
        encode_s += time.perf_counter() - started
        done, ttl_s = number * CHUNK_IMAGES + len(part), dispatcher.settings.result_ttl_s
        if not records.append(dispatcher.redis, generation.id, dispatcher.worker, chunk, images=done, ttl_s=ttl_s):
            job.end(NotWanted())
            raise NotWanted
    total = max(time.monotonic() - generation.created, 0)
    return b"", Timings(queue=_queue_s(generation, first), sample=busy_s, encode=encode_s, total=total)


def _queue_s(generation: Generation, first: Job) -> float:
    """Seconds until its first image was taken to the device."""
    assert first.started is not None
    return max(first.started - generation.created, 0)


def _labels(generation: Generation) -> tuple[str, str]:
    return generation.model, str(generation.steps)


def warm_up(dispatcher: Dispatcher) -> None:
    """Load the default model and those to prewarm, and sample with each, so that the first request finds it ready.

    What is damaged is logged and left: requests for it get the reason, those for others are served.
    """
    for name in dict.fromkeys([dispatcher.settings.default_model, *dispatcher.settings.prewarm]):
        started = time.perf_counter()
        try:
            roots = dispatcher.settings.families
            family = Family.read(next((root / name for root in roots if (root / name).is_dir()), roots[0] / name))
            served = list(served_steps(family).values())
            for checkpoint in served:
                _warm(dispatcher, Group(f"{name}/{checkpoint}", dispatcher.samplers.get(family.path / checkpoint)))
        except FewstepError as error:
            log.error("cannot warm up", detail=error.detail)
        else:
            seconds = round(time.perf_counter() - started, 3)
            log.info("warm", model=family.name, checkpoints=served, seconds=seconds)


def _warm(dispatcher: Dispatcher, group: Group) -> None:
    """A batch of every size, the largest twice, so that what it costs is known."""
    for size in (*group.sampler.sizes, group.sampler.max_batch):
        dispatcher.sample_for_nobody(group, size)
