"""The sampling worker: Celery's threads around `worker.sampling.generate`."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from celery import Celery
from prometheus_client import REGISTRY

from core import presence
from core.broker import make_celery, wake
from core.connections import connect
from core.generation import stored, throughput, work
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
from worker.sampling.crew import Crew
from worker.sampling.dispatcher import Dispatcher
from worker.sampling.feeder import Feeder
from worker.sampling.generate import warm_up
from worker.sampling.sweep import sweep


@contextmanager
def sampling_worker(settings: Settings, name: str, pulse: Pulse) -> Iterator[tuple[Celery, Heartbeat, Feeder]]:
    """The Celery application with its task, warmed up, the heartbeat to start once it consumes, and what takes work.

    On leaving, what is in hand is finished.
    """
    keep_memory()
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)  # before anything asks how many there are
    celery = make_celery(settings, transport=INTAKE)
    with Dispatcher(settings, connect(settings), name) as dispatcher, Crew(dispatcher) as crew:
        feeder = Feeder(dispatcher, crew, connect(settings), send_message=lambda: wake(celery, name))

        @celery.task(name=Task.GENERATE, Request=ForgivingRequest)
        def generate_task(*_: str) -> None:
            feeder.ring()

        device = pick_device(settings.device)
        Execution(precision=settings.precision).precision_on(device)  # refuses what is not to be had
        shown, meter = pick_meter(str(device), lambda: [os.getpid()])
        REGISTRY.register(DeviceMetrics(shown, meter))
        stored.find(dispatcher.redis, dispatcher.artifacts)
        warm_up(dispatcher)
        # As loading in `worker.sampling.samplers`: torch's threads are to end with the one that computed. Were there
        # others beside those of the device, all would sleep at the end of each operator, for half as long again.
        with ThreadPoolExecutor(1) as brief:
            sampling_metrics.PEAK_FLOPS.labels(shown).set(brief.submit(_peak_flops, dispatcher, device).result())
            kind = brief.submit(processor, device).result()

        def chore(_: bool) -> None:
            dispatcher.forget_gone()
            throughput.report(dispatcher.redis, dispatcher.costs.seconds)
            work.settle(dispatcher.redis)
            send_lost_again(celery)
            stored.sweep(dispatcher.redis, dispatcher.artifacts)
            sweep(dispatcher.redis, *dispatcher.running(), worker=name, result_ttl_s=settings.result_ttl_s)
            feeder.ring()  # whatever became of messages

        facts = {
            "host": presence.host(),
            "device": str(device),
            "processor": kind,
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
        with feeder:
            yield celery, heartbeat, feeder


def _peak_flops(dispatcher: Dispatcher, device: torch.device) -> float:
    """In the lowest precision that a checkpoint samples in here; takes a quarter of a second."""
    lower = any(sampler.precision == "bf16" for sampler in dispatcher.samplers.loaded().values())
    # A few images keep a CPU as busy as many.
    return ceiling("bf16" if lower else "fp32", device, 0.1, batch=4 if device.type == "cpu" else None)
