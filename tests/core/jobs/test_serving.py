"""What the end and the deletion of a job change of what serves."""

from core.catalog import serving
from core.jobs.record import JobState
from core.jobs.store import JobStore
from tests.jobs import TTL_S, create, promotion_of, succeed


def test_success_serves_in_the_same_step(store: JobStore) -> None:
    job = create(store)
    succeed(store, job, promote={"digits/2": 2})
    record = store.read(job.id)
    assert record is not None
    assert (record.state, record.lease, record.error) == (JobState.SUCCEEDED, 0, None)
    assert record.ended is not None
    assert store.active() == []
    now = serving.read(store.redis)
    assert now.version == 1
    assert set(now.made) == {(job.name, "2-step"), (job.name, "1-step")}
    assert now.promoted == {("digits", 2): [promotion_of(job, 2)]}
    assert 0 < store.redis.ttl(f"fewstep:jobs:events:{job.id}") <= TTL_S


def test_promotions_stack(store: JobStore) -> None:
    first, second = create(store), create(store)
    succeed(store, first, promote={"digits/2": 2})
    succeed(store, second, promote={"digits/2": 2, "digits/1": 1})
    assert serving.read(store.redis).promoted == {
        ("digits", 2): [promotion_of(first, 2), promotion_of(second, 2)],
        ("digits", 1): [promotion_of(second, 1)],
    }


def test_what_is_deleted_is_gone_with_its_name(store: JobStore) -> None:
    job, other = create(store), create(store, name="mine-x")
    assert store.delete(job.id, job.name) == ("queued", "")
    succeed(store, job)
    succeed(store, other)
    assert store.delete(job.id, job.name) == ("deleted", "")
    assert store.delete(job.id, job.name) == ("none", "")
    assert store.read(job.id) is None
    assert store.events(job.id) == []
    assert store.ids() == [other.id]
    assert store.named(job.name) is None
    now = serving.read(store.redis)
    assert now.version == 3
    assert {family for family, _ in now.made} == {"mine-x"}


def test_what_serves_is_not_deleted_and_what_it_replaced_can_be(store: JobStore) -> None:
    first, second = create(store), create(store)
    succeed(store, first, promote={"digits/2": 2})
    assert store.delete(first.id, first.name) == ("serves", "digits/2")
    succeed(store, second, promote={"digits/2": 2})
    assert store.delete(second.id, second.name) == ("serves", "digits/2")
    assert store.delete(first.id, first.name) == ("deleted", "")
    assert serving.read(store.redis).promoted == {("digits", 2): [promotion_of(second, 2)]}
    assert serving.rollback(store.redis, "digits", 2) == promotion_of(second, 2)
    assert store.delete(second.id, second.name) == ("deleted", "")
    assert serving.read(store.redis) == serving.Serving(version=5)
