"""One slice of a job: train for a while, save everything, say how far it is. Runs in a process of its own.

A slice begins with what the record points to and ends by pointing it to something newer; all that is between is
forgotten if it does not get there. So a slice may be cut off at any moment and done again, to the same weights.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
import torch
from redis.exceptions import RedisError

from core.catalog.artifacts import ArtifactStore, open_artifacts
from core.catalog.card import CheckpointError, read_card
from core.catalog.serving import Made, Promotion, serving_key
from core.connections import connect
from core.errors import FewstepError, NotFound, Unavailable
from core.jobs.record import JobRecord, JobState
from core.jobs.removal import remove_or_discard
from core.jobs.request import DistillJob, RoundResult
from core.jobs.store import JobStore
from core.log import configure_logging, get_logger
from core.settings import Settings
from models.distillation.chain import Chain, fill_source, run_chain
from models.sampling.host import is_lost
from models.training.trainer import Diverged, TrainingError
from worker.distillation.load_job import load_job
from worker.distillation.messages import RoundFinished, SliceEnded, Tell
from worker.distillation.rounds import Jury, finish_round
from worker.distillation.watch import JobCancelled, SliceLost, SliceOver, Watch

log = get_logger(__name__)


@dataclass
class SliceContext:
    """What a process works with, and what it has loaded for the job it was on last."""

    settings: Settings
    store: JobStore
    artifacts: ArtifactStore
    worker: str
    is_draining: Callable[[], bool]
    tell: Tell
    loaded: dict[str, tuple[Chain, Jury | None]] = field(default_factory=dict)


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
    job = record.job
    log.info("slice begins", round=record.round + 1, iteration=record.iteration)
    try:
        try:
            results = _work(context, record, watch)
        except (SliceOver, JobCancelled):
            _save(context, job, watch)
            raise
        _succeed(context, job, watch, results)
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
    shutil.rmtree(_work_folder(context, job), ignore_errors=True)
    return None


def _work(context: SliceContext, record: JobRecord, watch: Watch) -> list[RoundResult]:
    """Train until all rounds are finished; raises when the slice is over before."""
    job, settings = record.job, context.settings
    folder = _work_folder(context, job)
    shutil.rmtree(folder, ignore_errors=True)  # what is there may be older than what the record points to
    folder.mkdir(parents=True)
    if job.id not in context.loaded:
        context.loaded.clear()
        torch.compiler.reset()  # nor are the networks of the job before kept for what was compiled of them
        context.loaded[job.id] = load_job(job, context.settings, context.artifacts)
        log.info("data loaded", data=context.loaded[job.id][0].about)
    chain, jury = context.loaded[job.id]
    fill_source(chain, watch.beat)
    for steps, key in record.saved.items():
        context.artifacts.fetch(key, _state(folder, int(steps)))
    results = list(record.rounds)
    states = {steps: _state(folder, steps) for steps in job.steps}
    for this, student in run_chain(chain, states=states, watch=watch.of, first=len(results)):
        index = len(results)
        watch.at = (index, job.iterations_of(index))
        _save(context, job, watch)
        result = finish_round(
            chain,
            this,
            student,
            job=job,
            jury=jury,
            folder=folder / f"{this.num_steps}-step",
            prefix=f"jobs/{job.id}/rounds/{index + 1}.{watch.fence}",
            artifacts=context.artifacts,
            store=context.store,
            settings=settings,
            beat=watch.beat,
        )
        results.append(result)
        distance = (result.metrics or {}).get("frechet_distance")
        context.tell(RoundFinished(watch.subject, this.num_steps, watch.trained_s, distance))
        watch.trained_s = 0.0
        watch.at = (min(index + 1, len(job.steps) - 1), 0 if index + 1 < len(job.steps) else watch.at[1])
        watch.tell(
            "round",
            {"round": index + 1, "steps": this.num_steps, "checkpoint": result.checkpoint, "metrics": result.metrics},
            rounds=[one.model_dump(mode="json") for one in results],
            round=watch.at[0],
            iteration=watch.at[1],
            trained_s=watch.trained_s,
            failures=0,
        )
        log.info("round finished", round=index + 1, steps=this.num_steps)
        if watch.is_over and len(results) < len(job.steps):
            raise SliceOver
    return results


def _save(context: SliceContext, job: DistillJob, watch: Watch) -> None:
    """Store the state of the round under way and let the record point to it; then the older ones can go."""
    index, iteration = watch.at
    steps = job.steps[index]
    local = _state(_work_folder(context, job), steps)
    if not local.is_file():
        return  # it was stopped before it began
    before = context.store.read(job.id)
    if before is None or before.fence != watch.fence:
        raise SliceLost
    key = f"jobs/{job.id}/states/{steps}-step.{iteration}.{watch.fence}.pt"
    context.artifacts.put(local, key)
    # The round before is needed for its unrounded weights; what is older, and the state before this one, is not.
    needed = {str(job.steps[index - 1])} if index else set()
    saved = {name: old for name, old in before.saved.items() if name in needed} | {str(steps): key}
    state = context.store.tell(
        job.id,
        watch.fence,
        lease_s=context.settings.lease_s,
        kind="saved",
        data={"round": index + 1, "iteration": iteration},
        saved=saved,
        failures=0,
        round=index,
        iteration=iteration,
        history=watch.history,
        trained_s=watch.trained_s,
    )
    if state is None:
        _remove(context, key)
        raise SliceLost
    for old in set(before.saved.values()) - set(saved.values()):
        _remove(context, old)


def _succeed(context: SliceContext, job: DistillJob, watch: Watch, results: list[RoundResult]) -> None:
    """Let the students serve, and end the job; raises ``JobCancelled`` if that comes too late."""
    made, promotions = {}, {}
    for result in results:
        card = read_card(context.artifacts.folder(result.artifact))
        name = f"{result.steps}-step"
        made[serving_key(job.name, name)] = Made(card=card, artifact=result.artifact, job=job.id, owner=job.owner)
        if result.promote:
            promotions[serving_key(job.teacher.family, result.steps)] = _promotion(
                job, name, result, at=context.store.now()
            )
    ttl_s = context.settings.job_ttl_s
    if not context.store.end(job.id, watch.fence, JobState.SUCCEEDED, ttl_s=ttl_s, made=made, promotions=promotions):
        watch.tell()  # raises if it was cancelled, or is not ours any more
        raise CheckpointError("the end of the job could not be recorded")
    _remove(context, f"jobs/{job.id}/states")
    log.info("job succeeded", family=job.name, promoted=list(promotions))


def _remove(context: SliceContext, key: str) -> None:
    """What nobody needs; where the store is away it is done later, so nothing waits for it."""
    remove_or_discard(context.store, context.artifacts.impatient(), key)


def _promotion(job: DistillJob, checkpoint: str, result: RoundResult, *, at: float) -> Promotion:
    return Promotion(
        family=job.name,
        checkpoint=checkpoint,
        job=job.id,
        at=at,
        frechet_distance=(result.metrics or {}).get("frechet_distance"),
        replaced=result.rival,
        replaced_frechet_distance=result.rival_frechet_distance,
    )


def _problem_of(error: Exception) -> FewstepError:
    """What the client is told."""
    if isinstance(error, FewstepError):
        return error
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return Unavailable(f"cannot read or write files of the job: {what}; free space or mend it, then retry")
    return FewstepError(f"the job failed unexpectedly ({type(error).__name__}); the worker's log has it")


def _work_folder(context: SliceContext, job: DistillJob) -> Path:
    return context.settings.var / "work" / job.id


def _state(folder: Path, steps: int) -> Path:
    return folder / f"{steps}-step.state.pt"
