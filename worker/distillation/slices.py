"""One slice of a job: train for a while, save everything, say how far it is. Runs in a process of its own.

A slice begins with what the record points to and ends by pointing it to something newer; all that is between is
forgotten if it does not get there. So a slice may be cut off at any moment and done again, to the same weights.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import structlog
import torch
from redis.exceptions import RedisError

from core.catalog.artifacts import open_artifacts
from core.catalog.card import CheckpointError
from core.connections import connect
from core.errors import FewstepError, NotFound, Unavailable
from core.jobs.record import JobRecord, JobState
from core.jobs.store import JobStore
from core.jobs.training import TrainingJob
from core.log import configure_logging, get_logger
from core.settings import Settings
from models.sampling.host import is_lost
from models.training.trainer import Diverged, TrainingError
from worker.distillation.distilling import Distilling
from worker.distillation.messages import SliceEnded, Tell
from worker.distillation.training import Training
from worker.distillation.turn import Outcome, SliceContext, Turn, Work
from worker.distillation.watch import JobCancelled, SliceLost, SliceOver, Watch

log = get_logger(__name__)


def make_slice_runner(
    settings: Settings, worker: str, is_draining: Callable[[], bool], tell: Tell
) -> Callable[[str, int], int | None]:
    """What a child process calls for each slice."""
    configure_logging(settings)
    redis = connect(settings, is_ending=is_draining)
    context = SliceContext(settings, JobStore(redis), open_artifacts(settings), worker, is_draining, tell)
    return lambda job_id, fence: run_slice(context, job_id, fence)


def run_slice(context: SliceContext, job_id: str, after: int) -> int | None:
    """Do the slice that comes after the fence ``after``, if it is to be done.

    Returns:
        The fence after which the next slice comes, or None if nothing is left to do here.
    """
    settings, store = context.settings, context.store
    fence = store.acquire(job_id, after, context.worker, lease_s=settings.lease_s, ttl_s=settings.job_ttl_s)
    record = None if fence is None else store.read(job_id)
    if fence is None or record is None:
        log.info("no slice to do", job=job_id, after=after)
        return None
    with structlog.contextvars.bound_contextvars(request_id=record.job.request_id, job=job_id, fence=fence):
        watch = Watch(store, record, fence, settings=settings, is_draining=context.is_draining, tell=context.tell)
        return _run(replace(context, artifacts=context.artifacts.patient(watch.wait_for_storage)), record, watch)


def _run(context: SliceContext, record: JobRecord, watch: Watch) -> int | None:
    """The slice, and how it ended."""
    job, turn = record.job, Turn(context, record, watch)
    log.info("slice begins", round=record.round + 1, iteration=record.iteration)
    try:
        try:
            outcome = _work(context, turn)
        except (SliceOver, JobCancelled):
            turn.save()
            raise
        _succeed(turn, outcome)
        context.tell(SliceEnded(watch.subject, "finished"))
    except SliceOver:
        context.store.release(job.id, watch.fence)
        context.tell(SliceEnded(watch.subject, "over"))
        log.info("slice ends", round=watch.at[0] + 1, iteration=watch.at[1])
        return watch.fence
    except JobCancelled:
        context.store.end(job.id, watch.fence, JobState.CANCELLED, ttl_s=context.settings.job_ttl_s)
        context.tell(SliceEnded(watch.subject, "cancelled"))
        log.info("job cancelled")
    except SliceLost:
        context.tell(SliceEnded(watch.subject, "lost"))
        log.warning("the lease is in other hands; what was done is dropped")
    except RedisError:
        raise  # this process ends, and its parent says so once Redis is there
    except Exception as error:
        if is_lost():
            raise  # so does it where the GPU is lost, which a new process has again
        problem = _problem_of(error)
        log.error("job failed", detail=problem.detail, exc_info=not isinstance(error, FewstepError))
        ttl_s = context.settings.job_ttl_s
        context.store.end(job.id, watch.fence, JobState.FAILED, ttl_s=ttl_s, problem=problem.problem())
        diverged = isinstance(error, Diverged)
        unreadable = not diverged and isinstance(error, (OSError, NotFound, CheckpointError, TrainingError))
        context.tell(SliceEnded(watch.subject, "failed", diverged=diverged, artifact_failed=unreadable))
    context.loaded.clear()
    turn.clear()
    return None


def _work(context: SliceContext, turn: Turn) -> Outcome:
    """Train until all rounds are finished; raises when the slice is over before."""
    job = turn.job
    turn.prepare()
    if job.id not in context.loaded:
        context.loaded.clear()
        if "torch._dynamo" in sys.modules:  # which takes a second to import, and on a CPU nothing asks for
            torch.compiler.reset()  # nor are the networks of the job before kept for what was compiled of them
        context.loaded[job.id] = _load(turn)
        log.info("data loaded", data=context.loaded[job.id].about)
    work = context.loaded[job.id]
    return work.outcome(turn, work.do(turn))


def _load(turn: Turn) -> Work:
    job = turn.job
    return Training.load(job, turn) if isinstance(job, TrainingJob) else Distilling.load(job, turn)


def _succeed(turn: Turn, outcome: Outcome) -> None:
    """List what was made, and end the job; raises ``JobCancelled`` if that comes too late."""
    job, watch = turn.job, turn.watch
    ttl_s = turn.settings.job_ttl_s
    if not turn.store.end(job.id, watch.fence, JobState.SUCCEEDED, ttl_s=ttl_s, **vars(outcome)):
        watch.tell()  # raises if it was cancelled, or is not ours any more
        raise CheckpointError("the end of the job could not be recorded")
    turn.remove(f"jobs/{job.id}/states")
    log.info("job succeeded", name=job.name, promoted=list(outcome.promotions))


def _problem_of(error: Exception) -> FewstepError:
    """What the client is told."""
    if isinstance(error, FewstepError):
        return error
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return Unavailable(f"cannot read or write files of the job: {what}; free space or mend it, then retry")
    return FewstepError(f"the job failed unexpectedly ({type(error).__name__}); the worker's log has it")
