"""``/livez`` and ``/readyz``, for whatever restarts processes and routes requests."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from redis.exceptions import RedisError

from app.access.caller import Whoever
from app.ending import draining
from app.problems import RETRY_AFTER_S
from app.service import Service, ServiceDependency
from core import presence
from core.errors import Unavailable
from core.generation.precision import describe, disagreements
from core.queues import Queue, queues
from core.refusals import reason

router = APIRouter(tags=["operation"])


class Check(BaseModel):
    """One thing that is needed, and whether it is there."""

    ok: bool
    required: bool = True
    detail: str = ""
    workers: dict[str, dict[str, Any]] = {}


class Ready(BaseModel):
    """Everything required is there."""

    status: str = "ready"
    checks: dict[str, Check]


@router.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    """Always 200; says nothing about Redis or workers."""
    return {"status": "alive"}


@router.get("/readyz", summary="Requests can be served", responses={503: {"description": "A check failed"}})
async def readyz(service: ServiceDependency, caller: Whoever) -> Ready:
    """Redis, and at least one sampling worker; each worker by name. Other workers are shown, not required.

    It takes no key; where keys are asked for, details are for those who have one.

    `precision` names checkpoints that sampling workers sample in several precisions, and is not required either.

    503 also from the moment that this process is told to stop, while it still accepts requests.
    """
    if draining.is_set():
        raise Unavailable("not ready: this process is stopping", retry_after=RETRY_AFTER_S)
    checks = await _check(service)
    if not caller.scopes:
        checks = {name: Check(ok=check.ok, required=check.required) for name, check in checks.items()}
    if missing := [name for name, check in checks.items() if check.required and not check.ok]:
        document = {name: check.model_dump() for name, check in checks.items()}
        raise Unavailable(f"not ready: {', '.join(missing)}", retry_after=RETRY_AFTER_S, checks=document)
    return Ready(checks=checks)


async def _check(service: Service) -> dict[str, Check]:
    try:
        workers = {queue: await presence.workers(service.redis, queue) for queue in queues(service.settings)}
        failures = {queue: await presence.failure(service.redis, queue) for queue in queues(service.settings)}
        await service.redis.set(presence.PROBE, "", px=1000)
    except (RedisError, OSError) as error:
        return {"redis": Check(ok=False, detail=f"Redis {reason(error)}")}
    checks = {"redis": Check(ok=True, detail="Redis answers")}
    for queue, there in workers.items():
        detail = f"{len(there)} {queue} worker{'' if len(there) == 1 else 's'}"
        if not there and failures[queue]:
            detail += f"; one could not start: {failures[queue]}"
        checks[queue] = Check(ok=bool(there), required=queue is Queue.SAMPLING, detail=detail, workers=there)
    sampling = workers[Queue.SAMPLING]
    agree = not disagreements(sampling.items())
    checks["precision"] = Check(ok=agree, required=False, detail=describe(sampling))
    return checks
