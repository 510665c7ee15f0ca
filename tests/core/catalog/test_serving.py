from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from core.catalog import serving
from core.catalog.card import Family
from core.catalog.serving import Serving
from core.connections import connect
from core.jobs.record import JobState
from core.jobs.store import JobStore
from core.settings import Settings
from tests.jobs import made_by, make_card, make_job, promotion_of

FAMILY = Family("digits", Path("checkpoints/digits"), {"4-step": make_card(4), "2-step": make_card(2)})


@pytest.fixture
def redis(redis_settings: Settings) -> Iterator[Redis]:
    with connect(redis_settings) as redis:
        yield redis


def serve(redis: Redis, name: str, *promoted: int) -> None:
    """Let a job end well."""
    store, job = JobStore(redis), make_job(name=name)
    store.create(job, max_active=9)
    fence = store.acquire(job.id, 0, "w1", lease_s=60, ttl_s=60)
    assert fence is not None
    promotions = {f"digits/{steps}": promotion_of(job, steps, frechet_distance=1 / 3) for steps in promoted}
    assert store.end(job.id, fence, JobState.SUCCEEDED, ttl_s=60, made=made_by(job), promotions=promotions)


def test_without_jobs_there_is_what_is_on_disk(redis: Redis) -> None:
    assert serving.read(redis) == Serving()
    assert serving.overlay({"digits": FAMILY}, Serving()) == {"digits": FAMILY}


def test_students_are_a_family_of_their_own(redis: Redis) -> None:
    serve(redis, "mine")
    families = serving.overlay({"digits": FAMILY}, serving.read(redis))
    assert families["digits"] == FAMILY
    mine = families["mine"]
    assert mine.steps == {1: "1-step", 2: "2-step"}
    assert set(mine.artifacts) == {"1-step", "2-step"}
    assert mine.artifacts["1-step"].endswith("/1-step")


def test_the_last_promoted_serves_and_rollback_goes_back_one_by_one(redis: Redis) -> None:
    serve(redis, "mine", 2)
    serve(redis, "yours", 2, 1)

    def steps() -> dict[int, str]:
        return serving.overlay({"digits": FAMILY}, serving.read(redis))["digits"].steps

    assert steps() == {1: "1-step.yours", 2: "2-step.yours", 4: "4-step"}
    digits = serving.overlay({"digits": FAMILY}, serving.read(redis))["digits"]
    assert set(digits.cards) == {"4-step", "2-step", "2-step.mine", "2-step.yours", "1-step.yours"}
    assert set(digits.artifacts) == {"2-step.mine", "2-step.yours", "1-step.yours"}

    version = serving.read(redis).version
    undone = serving.rollback(redis, "digits", 2)
    assert undone is not None
    assert undone.name == "2-step.yours"
    assert undone.frechet_distance == pytest.approx(1 / 3)
    assert serving.read(redis).version == version + 1
    assert steps() == {1: "1-step.yours", 2: "2-step.mine", 4: "4-step"}
    assert serving.rollback(redis, "digits", 2) is not None
    assert steps() == {1: "1-step.yours", 2: "2-step", 4: "4-step"}
    assert serving.rollback(redis, "digits", 2) is None
    assert serving.rollback(redis, "cats", 2) is None


def test_a_promotion_into_a_family_that_is_gone_does_no_harm(redis: Redis) -> None:
    serve(redis, "mine", 2)
    assert set(serving.overlay({}, serving.read(redis))) == {"mine"}
