"""What becomes of a job, whatever it makes: accepted, called off, taken up again, forgotten."""

import asyncio
import hashlib
from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial

import kombu.exceptions
import redis.exceptions

from app.access.caller import Caller
from app.access.idempotency import gone, used_for_another
from app.jobs.answers import find, quota_used, too_many, unknown
from app.jobs.documents import path_of
from app.service import Service
from app.webhooks.asked import wanted
from core.errors import Conflict, Unavailable
from core.jobs.record import ENDED, Job, JobRecord, JobState
from core.jobs.references import JobKind
from core.jobs.removal import remove_or_discard
from core.jobs.request import DistillRequest
from core.jobs.training import TrainingRequest
from core.log import get_logger
from core.queues import Task

REMOVAL_S = 5.0
"""How long a deletion waits for its files to be gone."""

log = get_logger(__name__)


def create(
    service: Service,
    caller: Caller,
    root: str,
    body: DistillRequest | TrainingRequest,
    key: str,
    resolve: Callable[[], Job],
) -> JobRecord:
    """Record the job that a request is resolved to, or find the one that its idempotency key stands for.

    Raises:
        FewstepError: It cannot be done, or something is in the way.
    """
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    # Before anything is checked, so that a repeat is answered even if what the job was made from is gone.
    if key and (known := service.jobs.known(key, caller.name)):
        return _known(service, "same" if known[0] == fingerprint else "other", known[1])
    job = resolve()
    outcome, found = service.jobs.create(
        job,
        max_active=service.settings.max_active_jobs,
        key=key,
        fingerprint=fingerprint,
        ttl_s=service.settings.idempotency_ttl_s,
        webhook=wanted(body.webhook, path_of(job, root), service.settings),
        training_per_day=caller.training_per_day,
    )
    match outcome:
        case "created":
            log.info("job accepted", job=job.id, kind=str(job.kind), name=job.name)
            _send(service, job.id, fence=0)
            return _known(service, "same", job.id)
        case "name":
            raise Conflict(f"another job has the name {job.name!r}", field="name")
        case "gone":
            raise Conflict("what it is to be made of has just been deleted")
        case "full":
            raise too_many(service)
        case "quota":
            raise quota_used(caller, found)
        case _:
            return _known(service, outcome, found)


def cancel(service: Service, id: str) -> JobState:
    """Call a job off; where it stands then.

    Raises:
        FewstepError: It has ended otherwise.
    """
    state = service.jobs.cancel(id, ttl_s=service.settings.job_ttl_s)
    if state is None:
        raise unknown(id)
    if state in (JobState.SUCCEEDED, JobState.FAILED):
        may_be = [other for other in JobState if other not in ENDED]
        raise Conflict(f"the job has {state} already", field="state", allowed=may_be)
    return state


def retry(service: Service, caller: Caller, id: str) -> None:
    """Queue a job again.

    Raises:
        FewstepError: It has not failed and was not cancelled, or there are too many.
    """
    outcome, fence = service.jobs.retry(
        id, max_active=service.settings.max_active_jobs, training_per_day=caller.training_per_day
    )
    match outcome:
        case "queued" if fence:
            _send(service, id, fence=fence)
        case "full":
            raise too_many(service)
        case "quota":
            raise quota_used(caller, fence)
        case "none":
            raise unknown(id)
        case _:
            raise Conflict(f"the job is {outcome}", field="state", allowed=[JobState.FAILED, JobState.CANCELLED])


def forget(service: Service, caller: Caller, id: str, kinds: Container[JobKind], *, root: str) -> None:
    """Delete the record of a job that has ended.

    Raises:
        FewstepError: It has not, or something of it serves or is used.
    """
    job = find(id, service, caller, kinds).job
    for other in service.jobs.active():
        if id in other.job.uses and other.job.id != id:
            verb = "distils" if other.job.kind is JobKind.DISTILLATION else "uses"
            raise Conflict(f"the job {other.job.id} {verb} {job.name}; cancel it or wait for its end")
    outcome, where = service.jobs.delete(id, job.place)
    match outcome:
        case "deleted":
            return
        case "none":
            raise unknown(id)
        case "serves":
            raise Conflict(
                f"a checkpoint of it serves as {where} (family/steps); POST {root}/models/{where}/rollback undoes that"
            )
        case _:
            raise Conflict(f"the job is {outcome}; cancel it first", field="state", allowed=list(ENDED))


async def remove_files(service: Service, key: str) -> None:
    """Remove what a deleted job or upload has left, at once or, where that takes long, a while later."""
    remove = partial(remove_or_discard, service.jobs, service.artifacts, key)
    with suppress(TimeoutError, Unavailable):
        async with asyncio.timeout(REMOVAL_S):
            await service.storage.call(remove)


def _known(service: Service, outcome: str, job_id: str) -> JobRecord:
    """The job of a request whose key has been used."""
    if outcome == "other":
        raise used_for_another()
    record = service.jobs.read(job_id)
    if record is None:
        raise gone("job")
    return record


def _send(service: Service, job_id: str, *, fence: int) -> None:
    """Tell the workers. A job stands also where that fails: they look for those without a message."""
    try:
        service.celery.send_task(Task.DISTILL, args=[job_id, fence])
    except (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError) as error:
        log.warning("no message sent", job=job_id, error=str(error))
