"""The record of each distillation job in Redis: the truth that API and workers share.

``fewstep:jobs:record:{id}`` is a hash with all that is known of a job, ``fewstep:jobs:events:{id}`` the stream of what
happened to it, the sorted set ``fewstep:jobs:all`` orders jobs by age, ``fewstep:jobs:active`` holds those that have
not ended, ``fewstep:jobs:names`` maps the names of families to jobs. Every change is one atomic script.

A job is worked on in slices. Who takes one gets the next number of the job's ``fence``, and the job's lease. Whatever
it writes is refused once the fence has moved on, so a worker that hung, or was taken for dead, can spoil nothing. A
message names the fence that it was sent at, so one that comes late or twice finds nothing to do.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis

from core.catalog.serving import Made, Promotion
from core.connections import text
from core.jobs.request import DistillJob, RoundResult

MAX_ATTEMPTS = 3
"""A job that took so many workers in a row with it, without getting any further, is the cause and not the victim."""
MOST_EVENTS = 5000

_ALL, _ACTIVE, _NAMES = "fewstep:jobs:all", "fewstep:jobs:active", "fewstep:jobs:names"


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


ENDED = (JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED)

# What every script begins with. Time is Redis's own, so that machines need not agree.
_PRELUDE = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local function get(field) return redis.call('HGET', KEYS[1], field) end
local function set(...) redis.call('HSET', KEYS[1], ...) end
local function leased() return tonumber(get('lease') or '0') > now end
local function event(kind, data)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', MOST_EVENTS, '*', 'event', kind, 'data', data)
end
local function move(state)
  set('state', state, 'updated', now)
  event('state', cjson.encode({state = state}))
end
local function finish(id, state, ttl_s)
  set('lease', 0, 'ended', now)
  move(state)
  redis.call('SREM', 'fewstep:jobs:active', id)
  redis.call('EXPIRE', KEYS[2], ttl_s)
end
""".replace("MOST_EVENTS", str(MOST_EVENTS))

_CREATE = """
local id, name, job, fingerprint, ttl_ms, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if fingerprint ~= '' then
  local known = redis.call('HMGET', KEYS[3], 'fingerprint', 'id')
  if known[1] then return {known[1] == fingerprint and 'same' or 'other', known[2]} end
end
if redis.call('HEXISTS', 'fewstep:jobs:names', name) == 1 then return {'name', name} end
if redis.call('SCARD', 'fewstep:jobs:active') >= most then return {'full', ''} end
redis.call('HSET', 'fewstep:jobs:names', name, id)
redis.call('ZADD', 'fewstep:jobs:all', now, id)
redis.call('SADD', 'fewstep:jobs:active', id)
set('job', job, 'created', now, 'fence', 0, 'attempts', 0, 'failures', 0, 'round', 0, 'iteration', 0, 'hinted', now)
move('queued')
if fingerprint ~= '' then
  redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'id', id)
  redis.call('PEXPIRE', KEYS[3], ttl_ms)
end
return {'created', id}
"""

_ACQUIRE = """
local id, fence, worker, lease_s, most, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local state = get('state')
if not state or get('fence') ~= fence or leased() then return false end
if state == 'cancelling' then finish(id, 'cancelled', ttl_s) return false end
if state ~= 'queued' and state ~= 'running' then return false end
if tonumber(get('failures')) >= most then
  local words = 'given up after ' .. most .. ' attempts, each of which ended its worker'
  if get('last_words') then words = words .. '; the last one: ' .. get('last_words') end
  set('error', cjson.encode({type = 'urn:fewstep:problem:given-up', title = 'Given up', status = 500, detail = words}))
  finish(id, 'failed', ttl_s)
  return false
end
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HINCRBY', KEYS[1], 'failures', 1)
set('worker', worker, 'lease', now + lease_s)
if not get('started') then set('started', now) end
if state == 'queued' then move('running') end
return redis.call('HINCRBY', KEYS[1], 'fence', 1)
"""

# Of what a slice does: the fence first, then what is particular.
_FENCED = """
local id, fence = ARGV[1], ARGV[2]
local state = get('state')
if get('fence') ~= fence or (state ~= 'running' and state ~= 'cancelling') then return false end
"""

_TELL = """
local lease_s, kind, data = ARGV[3], ARGV[4], ARGV[5]
set('lease', now + lease_s, 'progressed', now)
for i = 6, #ARGV, 2 do set(ARGV[i], ARGV[i + 1], 'updated', now) end
if kind ~= '' then event(kind, data) end
return state
"""

_RELEASE = "set('lease', 0, 'hinted', now) return state"

_END = """
local target, problem, ttl_s, made, promotions = ARGV[3], ARGV[4], ARGV[5], cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
if target == 'succeeded' then
  if state == 'cancelling' then return false end
  for key, value in pairs(made) do redis.call('HSET', 'fewstep:serving:made', key, value) end
  for key, value in pairs(promotions) do
    local stack = cjson.decode(redis.call('HGET', 'fewstep:serving:promoted', key) or '[]')
    table.insert(stack, cjson.decode(value))
    redis.call('HSET', 'fewstep:serving:promoted', key, cjson.encode(stack))
  end
  redis.call('INCR', 'fewstep:serving:version')
end
if problem ~= '' then set('error', problem) end
finish(id, target, ttl_s)
return target
"""

_CANCEL = """
local id, ttl_s = ARGV[1], ARGV[2]
local state = get('state')
if state == 'queued' or (state == 'running' and not leased()) then finish(id, 'cancelled', ttl_s)
elseif state == 'running' then move('cancelling') end
return get('state')
"""

_RETRY = """
local id, most = ARGV[1], tonumber(ARGV[2])
local state = get('state')
if state ~= 'failed' and state ~= 'cancelled' then return {state or 'none', 0} end
if redis.call('SCARD', 'fewstep:jobs:active') >= most then return {'full', 0} end
redis.call('HDEL', KEYS[1], 'error', 'ended', 'last_words')
redis.call('PERSIST', KEYS[2])
redis.call('SADD', 'fewstep:jobs:active', id)
set('failures', 0, 'hinted', now)
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
move('queued')
return {'queued', fence}
"""

_DELETE = """
local id, name = ARGV[1], ARGV[2]
local state = get('state')
if state ~= 'failed' and state ~= 'cancelled' and state ~= 'succeeded' then return {state or 'none', ''} end
local all = redis.call('HGETALL', 'fewstep:serving:promoted')
local kept = {}
for i = 1, #all, 2 do
  local stack = cjson.decode(all[i + 1])
  if #stack > 0 and stack[#stack].job == id then return {'serves', all[i]} end
  local rest = {}
  for _, promotion in ipairs(stack) do if promotion.job ~= id then table.insert(rest, promotion) end end
  if #rest < #stack then kept[all[i]] = rest end
end
for key, rest in pairs(kept) do
  redis.call('HDEL', 'fewstep:serving:promoted', key)
  if #rest > 0 then redis.call('HSET', 'fewstep:serving:promoted', key, cjson.encode(rest)) end
end
for _, key in ipairs(redis.call('HKEYS', 'fewstep:serving:made')) do
  if string.sub(key, 1, #name + 1) == name .. '/' then redis.call('HDEL', 'fewstep:serving:made', key) end
end
redis.call('INCR', 'fewstep:serving:version')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', 'fewstep:jobs:all', id)
redis.call('HDEL', 'fewstep:jobs:names', name)
return {'deleted', ''}
"""

_ABANDON = """
local id, worker, words = ARGV[1], ARGV[2], ARGV[3]
if get('worker') ~= worker or not leased() then return false end
set('lease', 0, 'last_words', words, 'hinted', now)
event('lost', cjson.encode({detail = words}))
return get('fence')
"""


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job.

    Attributes:
        fence: Number of the last slice.
        attempts: Slices begun.
        round: Index of the round under way, from 0.
        iteration: Iterations of it that are done.
        loss: Of the last iteration that was told of.
        rate: Iterations a second.
        history: Iteration, counted over all rounds, and loss of the last points.
        rounds: What each finished round made, ``core.jobs.request.RoundResult``.
        saved: Key of the training state in the artifact store, by steps of the student.
        error: The problem document of a failed job.
        worker: Who has or had it last.
        lease: Until when its worker has it, in seconds since the epoch; 0 if nobody has.
        hinted: When a message was sent for it last.
        progressed: When its worker last told of any progress, training or not; None before the first time.
        trained_s: Seconds of training in the round under way, up to its saved state.
    """

    job: DistillJob
    state: JobState
    fence: int
    attempts: int
    round: int
    iteration: int
    loss: float | None
    rate: float | None
    history: Sequence[tuple[int, float]]
    rounds: Sequence[RoundResult]
    saved: Mapping[str, str]
    error: Mapping[str, Any] | None
    worker: str
    lease: float
    hinted: float
    progressed: float | None
    trained_s: float
    started: float | None
    updated: float
    ended: float | None


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: its id in the stream, what kind it is, and its facts as JSON."""

    id: str
    kind: str
    data: str


class JobStore:
    """Jobs in one Redis. Thread-safe."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    # What the API does.

    def create(
        self, job: DistillJob, *, max_active: int, key: str = "", fingerprint: str = "", ttl_s: float = 0
    ) -> tuple[str, str]:
        """Record a job as queued, unless something is in the way; all in one step.

        Args:
            job: Resolved.
            max_active: Most jobs that may wait or run.
            key: What the client calls the request, to send it again without harm; empty for none.
            fingerprint: Of the request under that key.
            ttl_s: How long the key is remembered.

        Returns:
            ``created``, ``same`` (the key stands for this request already), ``other`` (for another), ``name`` (taken)
            or ``full``; and the id of the job that was made, or that the key stands for.
        """
        arguments = [job.id, job.name, job.model_dump_json(), fingerprint if key else "", int(1000 * ttl_s), max_active]
        outcome, found = self._run(_CREATE, job.id, arguments, more_keys=[f"fewstep:jobs:key:{key}"])
        return text(outcome), text(found)

    def known(self, key: str) -> tuple[str, str] | None:
        """Fingerprint and job id that an idempotency key stands for."""
        fingerprint, job_id = self.redis.hmget(f"fewstep:jobs:key:{key}", ["fingerprint", "id"])
        return None if fingerprint is None or job_id is None else (text(fingerprint), text(job_id))

    def read(self, job_id: str) -> JobRecord | None:
        """The record, or None if there is none or no more."""
        fields = {text(name): text(value) for name, value in self.redis.hgetall(_record(job_id)).items()}
        if not fields:
            return None
        return JobRecord(
            job=DistillJob.model_validate_json(fields["job"]),
            state=JobState(fields["state"]),
            fence=int(fields["fence"]),
            attempts=int(fields["attempts"]),
            round=int(fields["round"]),
            iteration=int(fields["iteration"]),
            loss=_float(fields.get("loss")),
            rate=_float(fields.get("rate")),
            history=json.loads(fields.get("history", "[]")),
            rounds=[RoundResult.model_validate(one) for one in json.loads(fields.get("rounds", "[]"))],
            saved=json.loads(fields.get("saved", "{}")),
            error=json.loads(fields.get("error", "null")),
            worker=fields.get("worker", ""),
            lease=float(fields.get("lease", 0)),
            hinted=float(fields.get("hinted", 0)),
            progressed=_float(fields.get("progressed")),
            trained_s=float(fields.get("trained_s", 0)),
            started=_float(fields.get("started")),
            updated=float(fields["updated"]),
            ended=_float(fields.get("ended")),
        )

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
        found = self.redis.hget(_record(job_id), "state")
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

    def retry(self, job_id: str, *, max_active: int) -> tuple[str, int]:
        """Queue a failed or cancelled job again, to go on from its last state.

        Returns:
            ``queued`` and its fence, from 1; ``full``, ``none`` (no such job) or the state that forbids it, and 0.
        """
        outcome, fence = self._run(_RETRY, job_id, [job_id, max_active])
        return text(outcome), int(fence)

    def delete(self, job_id: str, name: str) -> tuple[str, str]:
        """Forget an ended job and take its family back.

        Returns:
            ``deleted``; ``serves`` and ``family/steps`` where a checkpoint of it is promoted; ``none``, or the state
            that forbids it.
        """
        outcome, where = self._run(_DELETE, job_id, [job_id, name])
        return text(outcome), text(where)

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
        state = self._run(_FENCED + _TELL, job_id, [job_id, fence, lease_s, kind, json.dumps(data or {}), *pairs])
        return None if state is None else JobState(text(state))

    def release(self, job_id: str, fence: int) -> bool:
        """End a slice whose job goes on. Returns whether it was ours."""
        return self._run(_FENCED + _RELEASE, job_id, [job_id, fence]) is not None

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
        return self._run(_FENCED + _END, job_id, [job_id, fence, state, *documents]) is not None

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
                pipe.hget(_record(job_id), "state")
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
        self.redis.hset(_record(job_id), "hinted", repr(self.now()))

    def _run(self, script: str, job_id: str, arguments: Sequence[Any], *, more_keys: Sequence[str] = ()) -> Any:  # noqa: ANN401
        keys = [_record(job_id), _events(job_id), *more_keys]
        return self.redis.register_script(_PRELUDE + script)(keys, [str(argument) for argument in arguments])


def serving_key(family: str, last: str | int) -> str:
    """Of a checkpoint in ``MADE``, or of a number of steps in ``PROMOTED``, of ``core.catalog.serving``."""
    return f"{family}/{last}"


def _record(job_id: str) -> str:
    return f"fewstep:jobs:record:{job_id}"


def _events(job_id: str) -> str:
    return f"fewstep:jobs:events:{job_id}"


def _plain(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value)


def _float(value: str | None) -> float | None:
    return None if value is None else float(value)
