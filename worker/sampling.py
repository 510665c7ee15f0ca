"""The sampling worker: Celery's threads around `worker.generate`."""

import torch
from celery import Celery

from core import presence
from core.broker import make_celery
from core.connections import connect
from core.queues import Queue, Task
from core.settings import Settings
from models.engine import pick_device
from worker.generate import Desk, generate, warm_up
from worker.heartbeat import Heartbeat
from worker.places import open_artifacts
from worker.request import ForgivingRequest
from worker.samplers import Samplers
from worker.sweep import sweep


def make_sampling_worker(settings: Settings, name: str) -> tuple[Celery, Heartbeat]:
    """The Celery application with its task, warmed up, and the heartbeat to start once it consumes."""
    celery = make_celery(settings)
    desk = Desk(settings, connect(settings), Samplers(settings.device), open_artifacts(settings), name)

    @celery.task(name=Task.GENERATE, Request=ForgivingRequest)
    def generate_task(record_id: str) -> None:
        generate(record_id, desk)

    warm_up(desk)

    def chore() -> None:
        sweep(desk.redis, celery, worker=name, in_hand=desk.in_hand, result_ttl_s=settings.result_ttl_s)

    device = pick_device(settings.device)
    facts = {
        "host": presence.host(),
        "device": str(device),
        "threads": settings.sampler_threads,
        "torch": torch.__version__,
    }
    # Beats must fail rather than wait for Redis, so that the next one is not late.
    beats = connect(settings, patient=False)
    return celery, Heartbeat(beats, Queue.SAMPLING, name, facts, interval_s=settings.heartbeat_s, chore=chore)
