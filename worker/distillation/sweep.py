"""Finds jobs that nobody works on: left by a dead worker, or whose message was lost; and removes what has expired."""

import time

from celery import Celery

from core import presence
from core.broker import queue_length
from core.catalog.artifacts import ArtifactStore
from core.jobs.record import JobRecord, JobState
from core.jobs.store import JobStore
from core.log import get_logger
from core.queues import Queue, Task
from core.settings import Settings
from worker import metrics
from worker.distillation.leftovers import Leftovers

LOST_AFTER_S = 5.0
"""A job that waits for so long while the queue is empty has lost its message."""
SURELY_LOST_AFTER_S = 300.0
"""Behind a queue nobody knows; a message too many does no harm."""
TIDY_EVERY_S = 60.0

REDELIVERIES = metrics.REDELIVERIES.labels(Queue.DISTILLATION)

log = get_logger(__name__)


class JobSweep:
    """Looks after jobs at each call; harmless at any time and from any number of workers at once."""

    def __init__(self, store: JobStore, celery: Celery, artifacts: ArtifactStore, *, settings: Settings) -> None:
        self._store, self._celery, self._settings = store, celery, settings
        self._leftovers = Leftovers(store, artifacts)
        self._tidied = float("-inf")

    def __call__(self) -> None:
        """Queue again what has no owner."""
        active = self._store.active()
        if active:
            self._rescue(active)
        if time.monotonic() - self._tidied > TIDY_EVERY_S:
            self._tidied = time.monotonic()
            self._tidy()
        self._leftovers.remove()

    def _rescue(self, active: list[JobRecord]) -> None:
        now = self._store.now()
        dead = presence.dead(self._store.redis, {record.worker for record in active if record.lease > now})
        waits = LOST_AFTER_S if not queue_length(self._celery, Queue.DISTILLATION) else SURELY_LOST_AFTER_S
        for record in active:
            job_id = record.job.id
            if record.lease > now:
                if record.worker not in dead:
                    continue
                words = f"its worker vanished, in round {record.round + 1} after iteration {record.iteration}"
                if self._store.abandon(job_id, record.worker, words) is None:
                    continue  # another was faster
                log.warning("job left by its worker, queued again", job=job_id, owner=record.worker)
            elif now - max(record.hinted, record.lease) < waits:
                continue
            else:
                log.warning("message lost, sent again", job=job_id)
            self._store.hint(job_id)
            self._celery.send_task(Task.DISTILL, args=[job_id, record.fence])
            REDELIVERIES.inc()

    def _tidy(self) -> None:
        """Remove failed and cancelled jobs that were not retried in time."""
        expired = self._store.now() - self._settings.job_ttl_s
        for job_id in self._store.ids():
            record = self._store.read(job_id)
            if record is None or record.ended is None or record.ended > expired or record.state is JobState.SUCCEEDED:
                continue
            if self._store.delete(job_id, record.job.place)[0] == "deleted":
                log.info("expired job removed", job=job_id, state=str(record.state))
