"""What the endpoints share: settings and the connections of this process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.access.rates import Rates
from app.catalog.catalog import Catalog
from app.generate.bell import Bell
from app.generate.capacity import Capacity
from app.generate.results import Results
from app.redis_metrics import TIMEOUT_S, RedisMetrics, StorageMetrics
from app.storage import Storage
from core.broker import make_celery
from core.catalog.artifacts import ArtifactStore, open_artifacts
from core.connections import connect, connect_async
from core.jobs.store import JobStore
from core.queues import queues
from core.settings import Settings
from core.uploads.store import UploadStore


@dataclass(frozen=True)
class Service:
    """One for each process.

    Attributes:
        jobs: On a connection for threads: endpoints that use it are no coroutines. So are ``uploads``.
        artifacts: For threads of ``storage``, since it may be slow.
    """

    settings: Settings
    catalog: Catalog
    redis: Redis
    results: Results
    celery: Celery
    bell: Bell
    capacity: Capacity
    jobs: JobStore
    uploads: UploadStore
    artifacts: ArtifactStore
    storage: Storage
    rates: Rates


@asynccontextmanager
async def run_service(settings: Settings) -> AsyncIterator[Service]:
    """Everything connected; Redis need not be there yet."""
    redis = connect_async(settings)
    async with redis, Results(redis) as results:
        artifacts = open_artifacts(settings)
        with connect(settings, patient=False) as blocking, _looked_up_metrics(settings, artifacts):
            celery, storage = make_celery(settings), Storage()
            yield Service(
                settings,
                Catalog(settings.families, blocking),
                redis,
                results,
                celery,
                Bell(celery),
                Capacity(redis, max_wait_s=settings.max_wait_s),
                JobStore(blocking),
                UploadStore(blocking),
                artifacts,
                storage,
                Rates(redis),
            )
            storage.close()
            celery.close()


@contextmanager
def _looked_up_metrics(settings: Settings, artifacts: ArtifactStore) -> Iterator[None]:
    """``/metrics`` has them meanwhile."""
    volumes = {"var": settings.var} | ({"artifacts": artifacts.here} if artifacts.here else {})
    with connect(settings, patient=False, timeout_s=TIMEOUT_S) as redis:
        collectors = (RedisMetrics(JobStore(redis), queues(settings)), StorageMetrics(volumes))
        for collector in collectors:
            REGISTRY.register(collector)
        try:
            yield
        finally:
            for collector in collectors:
                REGISTRY.unregister(collector)


async def _service(request: Request) -> Service:  # were it not async, a thread would run it
    service: Service = request.app.state.service
    return service


ServiceDependency = Annotated[Service, Depends(_service)]
