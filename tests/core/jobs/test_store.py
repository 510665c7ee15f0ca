import time
from concurrent.futures import ThreadPoolExecutor

from core.catalog import serving
from core.jobs.record import JobState
from core.jobs.request import DistillJob
from core.jobs.store import MAX_ATTEMPTS, JobStore, record_key
from tests.jobs import TTL_S, acquire, create, fail, made_by, make_job, round_of, succeed


def kinds(store: JobStore, job: DistillJob) -> list[tuple[str, str]]:
    return [(event.kind, event.data) for event in store.events(job.id)]


def test_a_new_job_waits(store: JobStore) -> None:
    job = create(store)
    record = store.read(job.id)
    assert record is not None
    assert record.job == job
    assert (record.state, record.fence, record.slices, record.attempts) == (JobState.QUEUED, 0, 0, 0)
    assert record.started is None
    assert store.ids() == [job.id]
    assert [one.job for one in store.active()] == [job]
    assert store.named(job.name) == job.id
    assert kinds(store, job) == [("state", '{"state":"queued"}')]
    assert store.read("nobody") is None
    assert store.state("nobody") is None


def test_twenty_at_once_with_one_key_are_one_job(store: JobStore) -> None:
    jobs = [make_job() for _ in range(20)]

    def attempt(job: DistillJob) -> tuple[str, str]:
        return store.create(job, max_active=100, key="k", fingerprint="f", ttl_s=TTL_S)

    with ThreadPoolExecutor(20) as threads:
        outcomes = list(threads.map(attempt, jobs))
    assert sorted(outcome for outcome, _ in outcomes) == ["created"] + 19 * ["same"]
    assert store.ids() == [outcomes[0][1]]
    assert {found for _, found in outcomes} == set(store.ids())
    assert store.known("k") == ("f", store.ids()[0])
    assert store.create(make_job(), max_active=100, key="k", fingerprint="g", ttl_s=1) == ("other", store.ids()[0])


def test_a_key_is_forgotten(store: JobStore) -> None:
    store.create(make_job(), max_active=100, key="k", fingerprint="f", ttl_s=0.05)
    time.sleep(0.1)
    assert store.known("k") is None


def test_a_name_and_the_number_of_jobs_are_limited(store: JobStore) -> None:
    job = create(store)
    assert store.create(make_job(name=job.name), max_active=100) == ("name", job.name)
    assert store.create(make_job(), max_active=1)[0] == "full"
    assert store.ids() == [job.id]
    fail(store, job)
    assert store.create(make_job(), max_active=1)[0] == "created"
    assert store.retry(job.id, max_active=1) == ("full", 0)


def test_pages_are_in_the_order_of_age(store: JobStore) -> None:
    jobs = [create(store) for _ in range(5)]
    newest = [job.id for job in reversed(jobs)]
    assert store.ids() == newest
    page = store.page(before=float("inf"), count=2)
    assert [job_id for job_id, _ in page] == newest[:2]
    assert [job_id for job_id, _ in store.page(before=page[-1][1], count=9)] == newest[2:]


def test_a_slice_tells_how_far_it_is(store: JobStore) -> None:
    job = create(store)
    fence = acquire(store, job)
    assert fence == 1
    progress = {"round": 1, "iteration": 7, "loss": 0.5, "rate": 2.0, "history": [(7, 0.5)], "failures": 0}
    rounds = [round_of(job, 2).model_dump()]
    told = store.tell(job.id, fence, lease_s=60, kind="progress", data={"iteration": 7}, rounds=rounds, **progress)
    assert told is JobState.RUNNING
    record = store.read(job.id)
    assert record is not None
    assert (record.round, record.iteration, record.loss, record.rate) == (1, 7, 0.5, 2.0)
    assert list(map(tuple, record.history)) == [(7, 0.5)]
    assert (record.rounds, record.worker) == ([round_of(job, 2)], "w1")
    assert record.lease > time.time()
    assert kinds(store, job)[-1] == ("progress", '{"iteration": 7}')


def test_only_one_has_a_slice(store: JobStore) -> None:
    job = create(store)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda i: store.acquire(job.id, 0, f"w{i}", lease_s=60, ttl_s=TTL_S), range(8)))
    assert [fence for fence in taken if fence is not None] == [1]
    assert store.acquire(job.id, 1, "w9", lease_s=60, ttl_s=TTL_S) is None  # in other hands
    assert store.release(job.id, 1)
    assert store.acquire(job.id, 0, "w9", lease_s=60, ttl_s=TTL_S) is None  # a message that comes twice
    assert store.acquire(job.id, 1, "w9", lease_s=60, ttl_s=TTL_S) == 2


def test_who_has_lost_its_slice_changes_nothing(store: JobStore) -> None:
    job = create(store)
    stale = acquire(store, job, lease_s=0.05)
    time.sleep(0.1)
    fence = acquire(store, job, stale)
    before = store.read(job.id), kinds(store, job)
    assert store.tell(job.id, stale, lease_s=60, kind="progress", iteration=99) is None
    assert not store.release(job.id, stale)
    assert not store.end(job.id, stale, JobState.SUCCEEDED, ttl_s=TTL_S, made=made_by(job))
    assert not store.end(job.id, stale, JobState.FAILED, ttl_s=TTL_S, problem={})
    assert (store.read(job.id), kinds(store, job)) == before
    assert serving.read(store.redis) == serving.Serving()
    assert store.tell(job.id, fence, lease_s=60) is JobState.RUNNING


def test_cancelling_in_each_state(store: JobStore) -> None:
    waiting, idle, busy, done = (create(store) for _ in range(4))
    assert store.cancel(waiting.id, ttl_s=TTL_S) is JobState.CANCELLED
    assert store.acquire(waiting.id, 0, "w1", lease_s=60, ttl_s=TTL_S) is None

    store.release(idle.id, acquire(store, idle))  # between two slices
    assert store.cancel(idle.id, ttl_s=TTL_S) is JobState.CANCELLED

    fence = acquire(store, busy)
    assert store.cancel(busy.id, ttl_s=TTL_S) is JobState.CANCELLING
    assert store.cancel(busy.id, ttl_s=TTL_S) is JobState.CANCELLING
    assert store.tell(busy.id, fence, lease_s=60, iteration=8) is JobState.CANCELLING
    assert not store.end(busy.id, fence, JobState.SUCCEEDED, ttl_s=TTL_S, made=made_by(busy))
    assert store.end(busy.id, fence, JobState.CANCELLED, ttl_s=TTL_S)
    assert [state for kind, state in kinds(store, busy)][-2:] == ['{"state":"cancelling"}', '{"state":"cancelled"}']

    succeed(store, done)
    assert store.cancel(done.id, ttl_s=TTL_S) is JobState.SUCCEEDED
    assert store.cancel("nobody", ttl_s=TTL_S) is None


def test_a_cancelled_job_whose_worker_died_ends_with_the_next_message(store: JobStore) -> None:
    job = create(store)
    fence = acquire(store, job, lease_s=0.05)
    assert store.cancel(job.id, ttl_s=TTL_S) is JobState.CANCELLING
    time.sleep(0.1)
    assert store.acquire(job.id, fence, "w2", lease_s=60, ttl_s=TTL_S) is None
    assert store.state(job.id) is JobState.CANCELLED


def test_a_failed_job_is_taken_up_again(store: JobStore) -> None:
    job = create(store)
    fail(store, job)
    record = store.read(job.id)
    assert record is not None
    assert (record.state, record.error) == (JobState.FAILED, {"detail": "no"})
    assert store.retry(job.id, max_active=9) == ("queued", 2)
    record = store.read(job.id)
    assert record is not None
    assert (record.state, record.error, record.ended) == (JobState.QUEUED, None, None)
    assert store.redis.ttl(f"fewstep:jobs:events:{job.id}") == -1
    assert store.acquire(job.id, 1, "w1", lease_s=60, ttl_s=TTL_S) is None  # a message from before
    assert acquire(store, job, 2) == 3
    assert store.retry(job.id, max_active=9) == ("running", 0)
    assert store.retry("nobody", max_active=9) == ("none", 0)


def test_attempts_are_tries_and_slices_are_turns(store: JobStore) -> None:
    job = create(store)

    def counts() -> tuple[int, int]:
        record = store.read(job.id)
        assert record is not None
        return record.attempts, record.slices

    for turn in range(3):  # undisturbed
        fence = acquire(store, job, turn)
        assert counts() == (1, turn + 1)
        store.tell(job.id, fence, lease_s=60, failures=0)
        assert store.release(job.id, fence)
    assert acquire(store, job, 3) == 4
    assert store.abandon(job.id, "w1", "killed") == 4
    assert counts() == (1, 4)
    assert acquire(store, job, 4, lease_s=0.01) == 5  # after a loss that was seen
    assert counts() == (2, 5)
    store.tell(job.id, 5, lease_s=0.01, failures=0)
    time.sleep(0.05)
    assert acquire(store, job, 5) == 6  # after one that was not
    assert store.release(job.id, 6)
    assert acquire(store, job, 6) == 7
    assert counts() == (3, 7)


def test_a_record_of_before_that_knows_slices_alone_is_read_and_gone_on_with(store: JobStore) -> None:
    job = create(store)
    store.release(job.id, acquire(store, job))
    store.release(job.id, acquire(store, job, 1))
    store.redis.hdel(record_key(job.id), "tries", "released")
    record = store.read(job.id)
    assert record is not None
    assert (record.slices, record.attempts) == (2, 1)
    acquire(store, job, 2)
    record = store.read(job.id)
    assert record is not None
    assert (record.slices, record.attempts) == (3, 1)


def test_a_job_is_freed_when_its_worker_is_lost(store: JobStore) -> None:
    job = create(store)
    fence = acquire(store, job)
    assert store.abandon(job.id, "w2", "") is None  # not its job
    assert store.abandon(job.id, "w1", "killed by signal 9") == fence
    assert store.abandon(job.id, "w1", "again") is None
    assert kinds(store, job)[-1] == ("lost", '{"detail":"killed by signal 9"}')
    assert acquire(store, job, fence) == 2


def test_a_job_that_kills_its_workers_is_given_up_with_its_last_words(store: JobStore) -> None:
    job = create(store)
    for attempt in range(MAX_ATTEMPTS):
        acquire(store, job, attempt)
        assert store.abandon(job.id, "w1", f"killed by signal 9 in attempt {attempt + 1}") == attempt + 1
    assert store.acquire(job.id, MAX_ATTEMPTS, "w1", lease_s=60, ttl_s=TTL_S) is None
    record = store.read(job.id)
    assert record is not None
    assert (record.state, record.attempts) == (JobState.FAILED, MAX_ATTEMPTS)
    assert record.error is not None
    assert record.error["detail"].endswith("killed by signal 9 in attempt 3")
    assert store.active() == []
    assert store.retry(job.id, max_active=9)[0] == "queued"
    assert acquire(store, job, MAX_ATTEMPTS + 1) == MAX_ATTEMPTS + 2


def test_progress_forgives_what_went_before(store: JobStore) -> None:
    job = create(store)
    for attempt in range(2 * MAX_ATTEMPTS):
        fence = acquire(store, job, attempt)
        assert store.tell(job.id, fence, lease_s=60, failures=0) is JobState.RUNNING
        assert store.abandon(job.id, "w1", "killed") == fence
    assert store.state(job.id) is JobState.RUNNING


def test_jobs_are_counted_by_state_and_silence_ends_with_any_progress(store: JobStore) -> None:
    assert set(store.counts()) == set(JobState)
    assert store.silence_s() == 0
    create(store)
    job = create(store)
    fence = acquire(store, job)
    assert {state: count for state, count in store.counts().items() if count} == {"queued": 1, "running": 1}
    time.sleep(0.3)
    silence = store.silence_s()
    assert silence > 0.2
    store.tell(job.id, fence, lease_s=60)
    assert 0 <= store.silence_s() < silence
    assert store.end(job.id, fence, JobState.FAILED, ttl_s=TTL_S)
    assert store.silence_s() == 0


def test_events_are_read_from_where_one_is(store: JobStore) -> None:
    job = create(store)
    fence = acquire(store, job)
    for iteration in range(5):
        store.tell(job.id, fence, lease_s=60, kind="progress", data={"iteration": iteration})
    events = store.events(job.id)
    assert [event.kind for event in events] == 2 * ["state"] + 5 * ["progress"]
    assert store.events(job.id, after=events[3].id) == events[4:]
    assert store.events(job.id, after=events[-1].id) == []
    assert store.events(job.id, count=2) == events[:2]
