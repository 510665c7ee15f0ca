"""The sampling worker: Celery's threads around `worker.sampling.generate`."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from celery import Celery
from prometheus_client import REGISTRY

from core import presence
from core.broker import make_celery
from core.connections import connect
from core.generation import records, throughput
from core.queues import Queue, Task
from core.settings import Settings
from models.sampling.ceiling import ceiling
from models.sampling.engine import pick_device
from models.sampling.host import keep_memory, processor
from models.training.execution import Execution
from worker.device_metrics import DeviceMetrics, pick_meter
from worker.heartbeat import Heartbeat, Pulse
from worker.intake import send_lost_again
from worker.request import INTAKE, ForgivingRequest
from worker.sampling import metrics as sampling_metrics
from worker.sampling.bulk import BulkQueue
from worker.sampling.dispatcher import Dispatcher
from worker.sampling.generate import generate, warm_up
from worker.sampling.sweep import LOST_AFTER_S, LOST_IN_TROUBLE_S, sweep


@contextmanager
def sampling_worker(settings: Settings, name: str, pulse: Pulse) -> Iterator[tuple[Celery, Heartbeat]]:
    """The Celery application with its tasks, warmed up, and the heartbeat to start once it consumes."""
    keep_memory()
    celery = make_celery(settings, transport=INTAKE)
    with (
        Dispatcher(settings, connect(settings), name) as dispatcher,
        ThreadPoolExecutor(settings.sampler_threads, thread_name_prefix="crew") as crew,
        BulkQueue(lambda record_id: generate(record_id, dispatcher), threads=settings.bulk_threads) as bulk,
    ):

        @celery.task(name=Task.GENERATE, Request=ForgivingRequest)
        def generate_task(*record_ids: str) -> None:
            others = [crew.submit(generate, record_id, dispatcher) for record_id in record_ids[1:]]
            generate(record_ids[0], dispatcher)
            for other in others:
                other.result()

        @celery.task(name=Task.GENERATE_BULK, Request=ForgivingRequest)
        def bulk_task(*record_ids: str) -> None:
            for record_id in record_ids:
                bulk.add(record_id)

        device = pick_device(settings.device)
        Execution(precision=settings.precision).precision_on(device)  # refuses what is not to be had
        shown, meter = pick_meter(str(device), lambda: [os.getpid()])
        REGISTRY.register(DeviceMetrics(shown, meter))
        warm_up(dispatcher)
        with ThreadPoolExecutor(
            1
        ) as brief:  # as loading in `worker.sampling.samplers`: torch's threads are to end with it
            sampling_metrics.PEAK_FLOPS.labels(shown).set(brief.submit(_peak_flops, dispatcher, device).result())

        def chore(after_trouble: bool) -> None:
            dispatcher.forget_gone()
            throughput.report(dispatcher.redis, dispatcher.costs.seconds)
            records.settle(dispatcher.redis)
            send_lost_again(celery)
            in_hand = set(dispatcher.in_hand)
            sweep(
                dispatcher.redis,
                celery,
                worker=name,
                in_hand=in_hand,
                waiting=bulk.waiting(),
                result_ttl_s=settings.result_ttl_s,
                lost_after_s=LOST_IN_TROUBLE_S if after_trouble else LOST_AFTER_S,
            )

        facts = {
            "host": presence.host(),
            "device": str(device),
            "processor": processor(device),
            "precision": settings.precision,
            "threads": settings.sampler_threads,
            "torch": torch.__version__,
        }
        # Beats must fail rather than wait for Redis, so that the next one is not late.
        beats = connect(settings, patient=False)
        heartbeat = Heartbeat(
            beats,
            Queue.SAMPLING,
            name,
            facts,
            interval_s=settings.heartbeat_s,
            pulse=pulse,
            chore=chore,
            more=lambda: {"precisions": dispatcher.precisions(), "obstacles": dispatcher.obstacles()},
        )
        yield celery, heartbeat


def _peak_flops(dispatcher: Dispatcher, device: torch.device) -> float:
    """In the lowest precision that a checkpoint samples in here; takes a quarter of a second."""
    lower = any(sampler.precision == "bf16" for sampler in dispatcher.samplers.loaded().values())
    # A few images keep a CPU as busy as many.
    return ceiling("bf16" if lower else "fp32", device, 0.1, batch=4 if device.type == "cpu" else None)
