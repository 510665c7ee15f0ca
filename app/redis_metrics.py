"""Metrics that are looked up when they are asked for: what only Redis knows, and the room left on disks."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from core import presence
from core.backlog import read_backlogs
from core.generation.precision import disagreements
from core.jobs.store import JobStore
from core.log import get_logger
from core.queues import Queue

TIMEOUT_S = 1.0
"""Of each command: Prometheus gives up after ten seconds, and the other metrics are to reach it."""

log = get_logger(__name__)


class RedisMetrics(Collector):
    """Asks Redis, briefly, each time that it is collected."""

    def __init__(self, jobs: JobStore, queues: Iterable[Queue] = Queue) -> None:
        """Ask about these queues with the client of ``jobs``, which should not be patient."""
        self._jobs, self._queues = jobs, tuple(queues)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """All that it may give, without asking."""
        return _families().values()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What Redis says; that it is away, if it says nothing."""
        families = _families()
        try:
            self._ask(families)
        except (RedisError, OSError) as error:
            log.warning("no metrics from Redis", error=str(error))
            up = _families()["up"]
            up.add_metric([], 0)
            return [up]
        families["up"].add_metric([], self._takes_writes())
        return families.values()

    def _takes_writes(self) -> bool:
        try:
            self._jobs.redis.set(presence.PROBE, "", px=1000)
        except (RedisError, OSError) as error:
            log.warning("Redis does not take what is written", error=str(error))
            return False
        return True

    def _ask(self, families: Mapping[str, GaugeMetricFamily]) -> None:
        redis = self._jobs.redis
        backlogs = read_backlogs(redis)
        for queue in self._queues:
            backlog = backlogs[queue]
            families["messages"].add_metric([queue, "waiting"], backlog.waiting)
            families["messages"].add_metric([queue, "unacknowledged"], backlog.in_hand)
            families["age"].add_metric([queue], backlog.oldest_age_s)
        families["queued"].add_metric([], backlogs[Queue.SAMPLING].waiting)
        workers = {queue: presence.facts(redis, queue) for queue in self._queues}
        for queue, there in workers.items():
            families["workers"].add_metric([queue], len(there))
        apart = disagreements(("", facts) for facts in workers[Queue.SAMPLING])
        families["disagreements"].add_metric([], len(apart))
        for state, count in self._jobs.counts().items():
            families["jobs"].add_metric([state], count)
        families["silence"].add_metric([], self._jobs.silence_s())


class StorageMetrics(Collector):
    """Looks at the file systems of folders, which need not exist yet."""

    def __init__(self, volumes: Mapping[str, Path]) -> None:
        """Look at these, by the name that they are to have."""
        self._volumes = volumes

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What it gives, without looking."""
        return _storage_families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """How they are now."""
        free, size = families = _storage_families()
        for volume, folder in self._volumes.items():
            there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
            usage = shutil.disk_usage(there)
            free.add_metric([volume], usage.free)
            size.add_metric([volume], usage.total)
        return families


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "up": GaugeMetricFamily("fewstep_redis_up", "1 while Redis answers and takes what is written"),
        "messages": GaugeMetricFamily(
            "fewstep_queue_messages",
            "What waits for workers, or is in their hands",
            labels=["queue", "state"],
        ),
        "age": GaugeMetricFamily(
            "fewstep_queue_oldest_message_age_seconds", "Age of the oldest that waits", labels=["queue"]
        ),
        "queued": GaugeMetricFamily("fewstep_requests_queued", "Generations that no worker has begun"),
        "workers": GaugeMetricFamily("fewstep_workers", "Workers that live and take work", labels=["queue"]),
        "disagreements": GaugeMetricFamily(
            "fewstep_precision_disagreements", "Checkpoints that sampling workers sample in several precisions"
        ),
        "jobs": GaugeMetricFamily("fewstep_jobs", "Distillation jobs", labels=["state"]),
        "silence": GaugeMetricFamily(
            "fewstep_job_silence_seconds", "Longest time since a running job last made progress"
        ),
    }


def _storage_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("fewstep_storage_free_bytes", "Bytes free for us on a file system", labels=["volume"]),
        GaugeMetricFamily("fewstep_storage_size_bytes", "Bytes of a file system", labels=["volume"]),
    )
