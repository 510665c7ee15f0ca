"""One generation from its record to its result; knows nothing of Celery."""

import time
from dataclasses import dataclass, field
from threading import Lock

import structlog
from redis import Redis

from core import records
from core.artifacts import ArtifactStore
from core.card import Family
from core.errors import DeadlinePassed, FewstepError
from core.generation import Generation, fact_headers, served_steps
from core.log import get_logger
from core.settings import Settings
from worker import metrics
from worker.places import checkpoint_folder
from worker.render import render
from worker.samplers import Samplers

CHECK_EVERY_S = 0.05
"""How often sampling looks whether it is still wanted, at most."""

log = get_logger(__name__)


class _NotWanted(Exception):  # noqa: N818
    """The generation was cancelled while it was in hand."""


@dataclass(frozen=True)
class Desk:
    """What a sampling worker works with.

    Attributes:
        worker: Its name, new with each start.
        device_lock: Held by whoever samples.
        in_hand: Ids that this process is working on.
    """

    settings: Settings
    redis: Redis
    samplers: Samplers
    artifacts: ArtifactStore
    worker: str
    device_lock: Lock = field(default_factory=Lock)
    in_hand: set[str] = field(default_factory=set)


def generate(record_id: str, desk: Desk) -> None:
    """Do what the record says, and write its end into it: the result, or the problem.

    Does nothing if it is not to be done any more, or is in other hands.
    """
    desk.in_hand.add(record_id)
    try:
        generation = records.start(desk.redis, record_id, desk.worker)
        if generation is None:
            metrics.GENERATIONS.labels("dropped").inc()
            log.info("dropped before it began", id=record_id)
            return
        with structlog.contextvars.bound_contextvars(request_id=generation.request_id, id=record_id):
            outcome = _end(generation, desk)
            metrics.GENERATIONS.labels(outcome).inc()
    finally:
        desk.in_hand.discard(record_id)


def _end(generation: Generation, desk: Desk) -> str:
    """Sample, and record how it ended. Returns the outcome."""
    try:
        return _sample(generation, desk)
    except _NotWanted:
        log.info("cancelled while in hand")
        return "cancelled"
    except FewstepError as error:
        log.warning("failed", detail=error.detail)
        problem = error.problem()
    except Exception:
        log.exception("failed unexpectedly")
        problem = FewstepError("sampling failed unexpectedly; the worker's log has it under the request_id").problem()
    ttl_s = desk.settings.result_ttl_s
    records.fail(desk.redis, generation.id, desk.worker, problem=problem, ttl_s=ttl_s)
    return "failed"


def _sample(generation: Generation, desk: Desk) -> str:
    checked = float("-inf")

    def check() -> None:
        nonlocal checked
        if generation.deadline is not None and time.time() > generation.deadline:
            raise DeadlinePassed("the deadline passed before the images were sampled")
        if time.monotonic() - checked > CHECK_EVERY_S:
            if not records.is_running(desk.redis, generation.id):
                raise _NotWanted
            checked = time.monotonic()

    folder = checkpoint_folder(
        desk.settings,
        desk.artifacts,
        family=generation.model,
        checkpoint=generation.checkpoint,
        artifact=generation.artifact,
    )
    sampler = desk.samplers.get(folder)
    with desk.device_lock:
        queue_s = max(time.time() - generation.created, 0)
        metrics.QUEUE_SECONDS.observe(queue_s)
        started = time.perf_counter()
        images = sampler.sample(seeds=generation.seeds, class_label=generation.class_label, between_batches=check)
        sample_s = time.perf_counter() - started
    labels = (generation.model, str(generation.steps))
    metrics.SAMPLING_SECONDS.labels(*labels).observe(sample_s)
    metrics.IMAGES.labels(*labels).inc(generation.n)

    document, timings = render(images, generation, queue_s=queue_s, sample_s=sample_s)
    metrics.ENCODING_SECONDS.labels(generation.format).observe(timings.encode)
    kept = records.succeed(
        desk.redis,
        generation.id,
        desk.worker,
        result=document,
        headers=fact_headers(generation, timings),
        ttl_s=desk.settings.result_ttl_s,
    )
    log.info("generated" if kept else "generated for nobody", n=generation.n, steps=generation.steps, **dict(timings))
    return "succeeded" if kept else "cancelled"


def warm_up(desk: Desk) -> None:
    """Load what the default model serves and sample one image with each, so that the first request finds it ready.

    What is damaged is logged and left: requests for it get the reason, those for others are served.
    """
    started = time.perf_counter()
    try:
        family = Family.read(desk.settings.checkpoints / desk.settings.default_model)
        served = list(served_steps(family).values())
        for checkpoint in served:
            desk.samplers.get(family.path / checkpoint).sample(seeds=[0])
    except FewstepError as error:
        log.error("cannot warm up", detail=error.detail)
    else:
        seconds = round(time.perf_counter() - started, 3)
        log.info("warm", model=family.name, checkpoints=served, seconds=seconds)
