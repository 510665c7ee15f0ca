"""Generations from their records to their results; knows nothing of Celery, nor who calls it in which thread."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from redis.exceptions import RedisError

from core import tracing
from core.catalog.artifacts import StorageAway
from core.catalog.card import Family
from core.errors import FewstepError, Unavailable
from core.generation import work
from core.generation.records import Status
from core.generation.request import Generation, Timings, fact_headers, served_steps
from core.generation.work import End
from core.log import get_logger
from worker.sampling import metrics
from worker.sampling.batcher import Job
from worker.sampling.chunks import ChunkedDocument, chunk_images
from worker.sampling.dispatcher import Dispatcher, Group
from worker.sampling.render import render
from worker.sampling.watch import NotWanted

log = get_logger(__name__)


class Request:
    """A generation that this worker has taken.

    Attributes:
        taken: When, by the monotonic clock.
        span: From then until its end.
    """

    def __init__(self, generation: Generation) -> None:
        """It is taken now."""
        self.generation = generation
        self.taken = time.monotonic()
        waited = max(self.taken - generation.created, 0)
        metrics.QUEUE_SECONDS.labels(*self.labels).observe(waited)
        with tracing.span("queue", parent=generation.trace, began=time.time() - waited):
            pass  # it is over
        facts = {"model": generation.model, "id": generation.id}
        self.span = tracing.OpenSpan("generate", parent=generation.trace, kind="CONSUMER", **facts)

    @property
    def labels(self) -> tuple[str, str]:
        """Model and steps in metrics."""
        return self.generation.model, str(self.generation.steps)


@dataclass(frozen=True)
class Outcome:
    """What became of a request: its end, or that it is not this worker's any more, and in a word what that is called.

    ``timings`` where it succeeded.
    """

    request: Request
    word: str
    end: End | None = None
    timings: Timings | None = None


def job_of(request: Request, group: Group, dispatcher: Dispatcher) -> Job:
    """What samples all images of a request at once."""
    generation = request.generation
    trace = request.span.traceparent
    return dispatcher.job(generation, group, generation.seeds, trace=trace, request=request)


def finish(jobs: Sequence[Job], dispatcher: Dispatcher) -> None:
    """Encode what was sampled together, and write all ends in one step."""
    write([_of_job(job) for job in jobs], dispatcher)


def fail(request: Request, error: Exception, dispatcher: Dispatcher) -> None:
    """End a request that could not be begun."""
    write([_failed(request, error)], dispatcher)


def write(outcomes: Sequence[Outcome], dispatcher: Dispatcher) -> None:
    """Write the ends into the records, and say what became of the requests."""
    ends = [outcome.end for outcome in outcomes if outcome.end is not None]
    kept: dict[str, bool] = {}
    try:
        if ends:
            ttl_s = dispatcher.settings.result_ttl_s
            told = work.finish(dispatcher.redis, dispatcher.worker, ends, ttl_s=ttl_s)
            kept = {end.record_id: was_ours for end, was_ours in zip(ends, told, strict=True)}
    except RedisError as error:
        # Only where this process is to end (`core.connections`): another takes up what the records say was its.
        log.warning("left, since Redis is away", error=str(error), count=len(ends))
        outcomes = [Outcome(outcome.request, "dropped") for outcome in outcomes]
    for outcome in outcomes:
        _say(outcome, kept=kept.get(outcome.request.generation.id, True))
    dispatcher.release(outcome.request.generation.id for outcome in outcomes)


def in_pieces(request: Request, dispatcher: Dispatcher) -> None:
    """Do a request whose result is kept in pieces, from its first image to its end."""
    try:
        with request.span.around():
            group = dispatcher.group(request.generation)
            timings = _in_chunks(request, dispatcher, group)
        outcome = _succeeded(request, b"", timings, group)
    except Exception as error:
        outcome = _failed(request, error)
    write([outcome], dispatcher)


def _of_job(job: Job) -> Outcome:
    request: Request = job.request
    generation = request.generation
    try:
        images = np.stack(job.done.result())
        group: Group = job.group
        with request.span.around(), tracing.span("encode"):
            document, timings = render(
                images,
                generation,
                precision=group.sampler.precision,
                queue_s=_queue_s(generation, job),
                sample_s=job.busy_s,
            )
        return _succeeded(request, document, timings, group)
    except Exception as error:
        return _failed(request, error)


def _succeeded(request: Request, document: bytes, timings: Timings, group: Group) -> Outcome:
    began = request.generation.created + timings.queue
    metrics.BATCH_WAIT_SECONDS.labels(*request.labels).observe(max(began - request.taken, 0))
    metrics.SAMPLING_SECONDS.labels(*request.labels).observe(timings.sample)
    metrics.ENCODING_SECONDS.labels(*request.labels).observe(timings.encode)
    headers = fact_headers(request.generation, timings, precision=group.sampler.precision)
    end = End(request.generation.id, Status.SUCCEEDED, headers=headers, result=document)
    return Outcome(request, "succeeded", end, timings)


def _failed(request: Request, error: Exception) -> Outcome:
    generation = request.generation
    with structlog.contextvars.bound_contextvars(request_id=generation.request_id, id=generation.id):
        match error:
            case NotWanted():
                log.info("cancelled while in hand")
                return Outcome(request, "cancelled")
            case RedisError():
                log.warning("left, since Redis is away", error=str(error))
                return Outcome(request, "dropped")
            case StorageAway():
                log.warning("the artifact store is away", detail=error.detail, waits=generation.deadline is None)
                if generation.deadline is None:
                    return Outcome(request, "dropped")  # let go of, it is queued again at the next heartbeat
                problem = error.problem()
            case FewstepError():
                log.warning("failed", detail=error.detail)
                problem = error.problem()
            case OSError():
                log.error("cannot write the result", error=str(error))
                words = f"cannot write the result: {error.strerror or error}; space must be made, then ask again"
                problem = Unavailable(words).problem()
            case _:
                log.error("failed unexpectedly", exc_info=error)
                words = "sampling failed unexpectedly; the worker's log has it under the request_id"
                problem = FewstepError(words).problem()
    return Outcome(request, "failed", End(generation.id, Status.FAILED, problem=problem))


def _say(outcome: Outcome, *, kept: bool) -> None:
    request, generation, timings = outcome.request, outcome.request.generation, outcome.timings
    word = "cancelled" if timings is not None and not kept else outcome.word
    if timings is not None:
        if kept:
            elapsed = max(time.monotonic() - generation.created, 0)
            metrics.GENERATION_SECONDS.labels(*request.labels).observe(elapsed)
        log.info(
            "generated" if kept else "generated for nobody",
            request_id=generation.request_id,
            id=generation.id,
            n=generation.n,
            steps=generation.steps,
            **dict(timings),
        )
    metrics.GENERATIONS.labels(word).inc()
    with request.span.around():
        tracing.describe("generate", failed=word == "failed", outcome=word)
    request.span.end()


def _in_chunks(request: Request, dispatcher: Dispatcher, group: Group) -> Timings:
    """Write the result chunk by chunk, each while the next is sampled, so that no more than two are held at a time."""
    generation = request.generation

    def submit(part: range) -> Job:
        job = dispatcher.job(generation, group, part, trace=request.span.traceparent)
        dispatcher.device.submit(job)
        return job

    shape = group.sampler.card.image_shape
    document, size = ChunkedDocument(generation, shape), chunk_images(shape)
    parts = [generation.seeds[start : start + size] for start in range(0, generation.n, size)]
    is_stored = generation.n * math.prod(shape) > dispatcher.settings.max_redis_result_bytes
    job = first = submit(parts[0])
    encode_s = busy_s = 0.0
    for number, part in enumerate(parts):
        images = np.stack(job.done.result())
        busy_s += job.busy_s
        if part is not parts[-1]:
            job = submit(parts[number + 1])
        started = time.perf_counter()
        with tracing.span("encode"):
            chunk = document.add(part, images) + (document.end() if part is parts[-1] else b"")
        encode_s += time.perf_counter() - started
        if not dispatcher.append(generation, chunk, number=number, images=number * size + len(part), stored=is_stored):
            job.end(NotWanted())
            raise NotWanted
    total = max(time.monotonic() - generation.created, 0)
    return Timings(queue=_queue_s(generation, first), sample=busy_s, encode=encode_s, total=total)


def _queue_s(generation: Generation, first: Job) -> float:
    """Seconds until its first image was taken to the device."""
    assert first.started is not None
    return max(first.started - generation.created, 0)


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
                group = Group(f"{name}/{checkpoint}", dispatcher.samplers.get(family.path / checkpoint))
                # Every size was tried where it was loaded. This says what an image costs.
                dispatcher.sample_for_nobody(group, group.sampler.telling_batch)
        except FewstepError as error:
            log.error("cannot warm up", detail=error.detail)
        else:
            seconds = round(time.perf_counter() - started, 3)
            log.info("warm", model=family.name, checkpoints=served, seconds=seconds)
