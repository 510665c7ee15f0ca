"""A worker from its start to its end, whichever queue it works on."""

import os
import socket
import sys
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from redis.exceptions import RedisError

from core import presence, tracing
from core.connections import connect, ending
from core.errors import FewstepError
from core.log import configure_logging, get_logger
from core.machine.garbage import importing
from core.machine.places import prepare_places
from core.queues import Queue
from core.settings import Settings, get_settings_or_exit
from worker.heartbeat import Heartbeat, Pulse
from worker.metrics import serve_metrics

log = get_logger(__name__)


def run_sampling(settings: Settings, name: str) -> int:
    """Sample until SIGTERM. Returns the exit code."""
    # Before torch is imported: threads that wait for each other spin for some microseconds, as a layer takes, and no
    # longer, since there is other work on the machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Each worker imports its own: the other one has no use for torch, nor for these metrics.
    with importing():
        from worker.sampling.worker import sampling_worker

    pulse = Pulse(settings.heartbeat_s)
    serve_metrics(settings.sampler_metrics_port, pulse.is_regular)
    with sampling_worker(settings, name, pulse) as (celery, heartbeat, feeder):
        return consume(celery, Queue.SAMPLING, name, heartbeat, on_drain=feeder.stop, finish=feeder.finish)


def run_distillation(settings: Settings, name: str) -> int:
    """Wait for distillation jobs until SIGTERM. Returns the exit code."""
    from worker.distillation.worker import make_distillation_worker
    from worker.uploads.inspector import Inspector

    pulse = Pulse(settings.heartbeat_s)
    serve_metrics(settings.distiller_metrics_port, pulse.is_regular)
    celery, heartbeat, foreman = make_distillation_worker(settings, name, pulse, also=Inspector(settings, name))
    try:
        return consume(celery, Queue.DISTILLATION, name, heartbeat, on_drain=foreman.drain)
    finally:
        foreman.close()


def run_webhooks(settings: Settings, name: str) -> int:
    """Deliver messages to webhooks until SIGTERM. Returns the exit code."""
    from worker.webhooks.worker import THREADS, make_webhook_worker

    pulse = Pulse(settings.heartbeat_s)
    celery, heartbeat, postman = make_webhook_worker(settings, name, pulse)
    serve_metrics(settings.webhooks_metrics_port, pulse.is_regular)
    postman.start()
    return consume(celery, Queue.WEBHOOKS, name, heartbeat, threads=THREADS)


def consume(
    celery: Celery,
    queue: Queue,
    name: str,
    heartbeat: Heartbeat,
    *,
    on_drain: Callable[[], None] = lambda: None,
    threads: int = 0,
    finish: Callable[[], None] = lambda: None,
) -> int:
    """Run a Celery worker on ``queue`` until SIGTERM, which lets it finish what it has in hand.

    ``on_drain`` is called in the signal's handler, ``finish`` once no messages come any more; this worker lives until
    that returns. Tasks run in so many threads of their own, or with 0 in the one that takes messages.
    """

    def ready(**_: object) -> None:
        heartbeat.start()
        log.info("ready", queue=str(queue), worker=name)

    def draining(**_: object) -> None:
        ending.set()
        heartbeat.drain()
        on_drain()

    # It warns of running as root with pickled messages; ours are JSON, and containers run as root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Celery keeps its hands off logging where this signal has a receiver.
    signals.setup_logging.connect(_keep_logging)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(draining, weak=False)
    worker = celery.Worker(
        hostname=name,
        queues=[str(queue)],
        # With a pool's only thread busy Celery may overlook, for seconds, that it is free again: so none is made for
        # tasks that are short, or do what they do in a process of their own.
        pool="threads" if threads else "solo",
        concurrency=threads or 1,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    try:
        worker.start()
    finally:
        finish()
        heartbeat.leave()
    return int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    pass


def main() -> int:
    """Run the worker that the command line names."""
    runners = {Queue.SAMPLING: run_sampling, Queue.DISTILLATION: run_distillation, Queue.WEBHOOKS: run_webhooks}
    if len(sys.argv) != 2 or sys.argv[1] not in list(Queue):
        print(f"usage: python -m worker {{{'|'.join(Queue)}}}", file=sys.stderr)
        return 2
    settings = get_settings_or_exit()
    configure_logging(settings)
    queue = Queue(sys.argv[1])
    # New with each start, so that what an earlier one left is seen to have no owner.
    name = f"{queue}@{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    try:
        prepare_places(settings, caches=queue is Queue.DISTILLATION)
        tracing.start_tracing(settings, f"fewstep-{queue}")
        return runners[queue](settings, name)
    except FewstepError as error:
        setting = f"FEWSTEP_{error.field.upper()}: " if error.field in Settings.model_fields else ""
        log.error("cannot start", detail=f"{setting}{error.detail}")
        _tell_why(settings, queue, f"{setting}{error.detail}")
        return 1


def _tell_why(settings: Settings, queue: Queue, words: str) -> None:
    """For readiness; as well as it goes, since Redis may be what is missing."""
    with suppress(RedisError, OSError), connect(settings, patient=False) as redis:
        presence.could_not_start(redis, queue, words)
