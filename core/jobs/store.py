"""The record of each distillation job in Redis: the truth that API and workers share.

``fewstep:jobs:record:{id}`` is a hash with all that is known of a job, ``fewstep:jobs:events:{id}`` the stream of what
happened to it, the sorted set ``fewstep:jobs:all`` orders jobs by age, ``fewstep:jobs:active`` holds those that have
not ended, ``fewstep:jobs:names`` maps the names of families to jobs, the set ``fewstep:artifacts:discarded`` holds keys
of the artifact store that are to be removed. Every change is one atomic script, a file in ``scripts/``.

A job is worked on in slices. Who takes one gets the next number of the job's ``fence``, and the job's lease. Whatever
it writes is refused once the fence has moved on, so a worker that hung, or was taken for dead, can spoil nothing. A
message names the fence that it was sent at, so one that comes late or twice finds nothing to do.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from core.access.repeats import key_of
from core.catalog.serving import Made, Promotion
from core.connections import text
from core.jobs.record import Event, JobRecord, JobState, parse
from core.jobs.request import DistillJob
from core.scripts import load

MAX_ATTEMPTS = 3
"""A job that took so many workers in a row with it, without getting any further, is the cause and not the victim."""

_DISCARDED = "fewstep:artifacts:discarded"
_ALL, _ACTIVE, _NAMES = "fewstep:jobs:all", "fewstep:jobs:active", "fewstep:jobs:names"

_CREATE = load("webhooks/shared", "jobs/shared", "jobs/create")
_ACQUIRE = load("webhooks/shared", "jobs/shared", "jobs/acquire")
_TELL = load("webhooks/shared", "jobs/shared", "jobs/fenced", "jobs/tell")
_RELEASE = load("webhooks/shared", "jobs/shared", "jobs/fenced", "jobs/release")
_END = load("webhooks/shared", "jobs/shared", "jobs/fenced", "catalog/shared", "jobs/end")
_CANCEL = load("webhooks/shared", "jobs/shared", "jobs/cancel")
_RETRY = load("webhooks/shared", "jobs/shared", "jobs/retry")
_DELETE = load("webhooks/shared", "jobs/shared", "catalog/shared", "jobs/delete")
_ABANDON = load("webhooks/shared", "jobs/shared", "jobs/abandon")


class JobStore:
    """Jobs in one Redis. Thread-safe."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    # What the API does.

    def create(
        self,
        job: DistillJob,
        *,
        max_active: int,
        key: str = "",
        fingerprint: str = "",
        ttl_s: float = 0,
        webhook: str = "",
        training_per_day: int | None = None,
    ) -> tuple[str, str]:
        """Record a job as queued, unless something is in the way; all in one step.

        Args:
            job: Resolved.
            max_active: Most jobs that may wait or run.
            key: What the client calls the request, to send it again without harm; empty for none.
            fingerprint: Of the request under that key.
            ttl_s: How long the key is remembered.
            webhook: Where its states are to be told, as of ``core.webhooks.request``; empty: nowhere.
            training_per_day: Seconds that jobs of its owner may train in a day of UTC; None: any number.

        Returns:
            ``created``, ``same`` (the key stands for this request already), ``other`` (for another), ``name`` (taken)
            or ``full``; and the id of the job that was made, or that the key stands for. ``quota`` where the owner's
            jobs have trained for so long today, and the seconds left of it.
        """
        arguments = [job.id, job.name, job.model_dump_json(), fingerprint if key else "", int(1000 * ttl_s), max_active]
        arguments += [job.owner, "" if training_per_day is None else training_per_day, webhook]
        outcome, found = self._run(_CREATE, job.id, arguments, more_keys=[key_of("jobs", job.owner, key)])
        return text(outcome), text(found)

    def known(self, key: str, owner: str = "") -> tuple[str, str] | None:
        """Fingerprint and job id that an idempotency key of an owner stands for."""
        fingerprint, job_id = self.redis.hmget(key_of("jobs", owner, key), ["fingerprint", "id"])
        return None if fingerprint is None or job_id is None else (text(fingerprint), text(job_id))

    def read(self, job_id: str) -> JobRecord | None:
        """The record, or None if there is none or no more."""
        fields = {text(name): text(value) for name, value in self.redis.hgetall(record_key(job_id)).items()}
        return parse(fields) if fields else None

    def ids(self) -> list[str]:
        """Of all jobs, newest first."""
        found: list[Any] = self.redis.zrange(_ALL, 0, -1, desc=True)
        return [text(job_id) for job_id in found]

    def page(self, *, before: float, count: int) -> list[tuple[str, float]]:
        """Jobs older than ``before`` (seconds since the epoch by Redis's clock), newest first, each with its time."""
        found: Any = self.redis.zrevrangebyscore(_ALL, f"({before!r}", "-inf", start=0, num=count, withscores=True)
        return [(text(job_id), float(created)) for job_id, created in found]

    def state(self, job_id: str) -> JobState | None:
        """Where a job stands; None if there is none."""
        found = self.redis.hget(record_key(job_id), "state")
        return None if found is None else JobState(text(found))

    def named(self, name: str) -> str | None:
        """Id of the job that has a family's name."""
        found = self.redis.hget(_NAMES, name)
        return None if found is None else text(found)

    def events(self, job_id: str, *, after: str = "0", count: int = 500) -> list[Event]:
        """What happened to a job after the event ``after``, oldest first."""
        found: Any = self.redis.xrange(_events(job_id), min=f"({after}" if after != "0" else "-", count=count)
        return [Event(text(event_id), text(fields[b"event"]), text(fields[b"data"])) for event_id, fields in found]

    def cancel(self, job_id: str, *, ttl_s: float) -> JobState | None:
        """Ask for the end of a job; at once where nobody works on it. Returns where it stands then; None: no job."""
        state = self._run(_CANCEL, job_id, [job_id, int(ttl_s)])
        return None if state is None else JobState(text(state))

    def retry(self, job_id: str, *, max_active: int, training_per_day: int | None = None) -> tuple[str, int]:
        """Queue a failed or cancelled job again, to go on from its last state.

        Returns:
            ``queued`` and its fence, from 1; ``full``, ``none`` (no such job) or the state that forbids it, and 0;
            ``quota`` as of ``create``.
        """
        quota = "" if training_per_day is None else training_per_day
        outcome, fence = self._run(_RETRY, job_id, [job_id, max_active, quota])
        return text(outcome), int(fence)

    def delete(self, job_id: str, name: str) -> tuple[str, str]:
        """Forget an ended job and take its family back; its files are then among ``discarded``.

        Returns:
            ``deleted``; ``serves`` and ``family/steps`` where a checkpoint of it is promoted; ``none``, or the state
            that forbids it.
        """
        outcome, where = self._run(_DELETE, job_id, [job_id, name])
        return text(outcome), text(where)

    def discard(self, key: str) -> None:
        """Note that a file or folder in the artifact store is to be removed."""
        self.redis.sadd(_DISCARDED, key)

    def discarded(self) -> list[str]:
        """Keys of what is to be removed."""
        return sorted(text(key) for key in self.redis.smembers(_DISCARDED))

    def removed(self, key: str) -> None:
        """It has been."""
        self.redis.srem(_DISCARDED, key)

    # What a worker does.

    def acquire(self, job_id: str, fence: int, worker: str, *, lease_s: float, ttl_s: float) -> int | None:
        """Take the slice that comes after ``fence``; gives its own fence.

        None if it is not to be had: in other hands, done before, cancelled, ended, or given up on here and now.
        """
        arguments = [job_id, fence, worker, lease_s, MAX_ATTEMPTS, int(ttl_s)]
        found = self._run(_ACQUIRE, job_id, arguments)
        return None if found is None else int(found)

    def tell(
        self,
        job_id: str,
        fence: int,
        *,
        lease_s: float,
        kind: str = "",
        data: Mapping[str, Any] | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> JobState | None:
        """Renew the lease, and write fields and an event. Returns the state; None: the slice is not ours any more."""
        pairs = [part for name, value in fields.items() for part in (name, _plain(value))]
        state = self._run(_TELL, job_id, [job_id, fence, lease_s, kind, json.dumps(data or {}), *pairs])
        return None if state is None else JobState(text(state))

    def release(self, job_id: str, fence: int) -> bool:
        """End a slice whose job goes on. Returns whether it was ours."""
        return self._run(_RELEASE, job_id, [job_id, fence]) is not None

    def end(
        self,
        job_id: str,
        fence: int,
        state: JobState,
        *,
        ttl_s: float,
        problem: Mapping[str, Any] | None = None,
        made: Mapping[str, Made] | None = None,
        promotions: Mapping[str, Promotion] | None = None,
    ) -> bool:
        """End a job, and with success let what it made serve, in one step.

        Returns whether it was ours to end; a success comes too late where the job is being cancelled.
        """
        documents = [
            "" if problem is None else json.dumps(problem),
            int(ttl_s),
            json.dumps({key: one.model_dump_json() for key, one in (made or {}).items()}),
            json.dumps({key: one.model_dump_json() for key, one in (promotions or {}).items()}),
        ]
        return self._run(_END, job_id, [job_id, fence, state, *documents]) is not None

    def abandon(self, job_id: str, worker: str, words: str) -> int | None:
        """Free a job whose worker is no more, with what is known of its end; gives its fence, None: not its job."""
        found = self._run(_ABANDON, job_id, [job_id, worker, words])
        return None if found is None else int(found)

    def active(self) -> list[JobRecord]:
        """Jobs that have not ended."""
        found: Any = self.redis.smembers(_ACTIVE)
        records = (self.read(text(job_id)) for job_id in found)
        return [record for record in records if record is not None]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in self.ids():
                pipe.hget(record_key(job_id), "state")
            found = Counter(text(state) for state in pipe.execute() if state is not None)
        return {state: found[state] for state in JobState}

    def silence_s(self) -> float:
        """Longest time since a running job made progress, or began to run; 0 if none runs."""
        now = self.now()
        running = (record for record in self.active() if record.state is JobState.RUNNING)
        # What the scripts write is rounded, and may be just ahead.
        return max([0.0, *(now - max(record.progressed or 0, record.updated) for record in running)])

    def now(self) -> float:
        """Seconds since the epoch by Redis's clock, which leases go by."""
        seconds, microseconds = self.redis.time()
        return float(seconds) + microseconds / 1e6

    def hint(self, job_id: str) -> None:
        """Note that a message was sent."""
        self.redis.hset(record_key(job_id), "hinted", repr(self.now()))

    def _run(self, script: str, job_id: str, arguments: Sequence[Any], *, more_keys: Sequence[str] = ()) -> Any:  # noqa: ANN401
        keys = [record_key(job_id), _events(job_id), *more_keys]
        return self.redis.register_script(script)(keys, [str(argument) for argument in arguments])


def record_key(job_id: str) -> str:
    """Of its hash."""
    return f"fewstep:jobs:record:{job_id}"


def _events(job_id: str) -> str:
    return f"fewstep:jobs:events:{job_id}"


def _plain(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value)
