"""``/system``: workers, queues and what they did lately in one small document."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response

from app.access.caller import Known
from app.paths import Root
from app.service import ServiceDependency
from app.system.documents import Limits, QueueSummary, RecentSummary, SystemResponse, WorkerSummary
from app.system.recent import recent
from core import presence
from core.backlog import read_backlogs
from core.generation.request import MAX_SEED, MAX_STEPS
from core.queues import Queue, queues
from core.settings import Settings

router = APIRouter(tags=["operation"])


@router.get("/system", summary="What the service is doing")
def get_system(response: Response, service: ServiceDependency, _: Known, root: Root) -> SystemResponse:
    """Workers with their devices, queues and their ages, jobs by state, what this process answered lately, and limits.

    For people and pages; `/readyz` is for load balancers and `/metrics` for Prometheus.
    """
    redis, settings = service.jobs.redis, service.settings
    response.headers["Cache-Control"] = "no-store"
    backlogs = read_backlogs(redis)
    return SystemResponse(
        version=version("fewstep"),
        default_model=settings.default_model,
        queues={
            queue: QueueSummary(
                waiting=backlogs[queue].waiting,
                in_hand=backlogs[queue].in_hand,
                oldest_age_s=backlogs[queue].oldest_age_s,
                workers=[_worker(name, facts) for name, facts in presence.facts_by_name(redis, queue).items()],
            )
            for queue in queues(settings)
        },
        requests_queued=backlogs[Queue.SAMPLING].waiting,
        jobs=service.jobs.counts(),
        recent=RecentSummary(
            images_per_second=recent.images_per_second(),
            requests=recent.requests(),
            p50_s=recent.quantile(0.5),
            p95_s=recent.quantile(0.95),
        ),
        limits=_limits(settings),
        links={"docs": f"{root}/docs", "metrics": f"{root}/metrics"}
        | ({"grafana": settings.grafana_url} if settings.grafana_url else {}),
    )


def _worker(name: str, facts: Mapping[str, Any]) -> WorkerSummary:
    return WorkerSummary(
        name=name, facts=dict(facts), **{key: facts.get(key) for key in ("host", "device", "processor")}
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        images=settings.max_images,
        bulk_images=settings.max_bulk_images,
        steps=MAX_STEPS,
        checkpoint_steps=settings.max_checkpoint_steps,
        seed=MAX_SEED,
    )
