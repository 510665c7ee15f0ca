"""Results that are files: kept with their record, and gone with it."""

from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.catalog.artifacts import ArtifactStore, StorageAway
from core.generation import records, stored, work
from core.generation.stored import FOLDER, STORED
from tests.generations import create, start

pytestmark = pytest.mark.anyio


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"), cache=tmp_path / "cache")


async def test_it_lives_as_long_as_its_record(api: AsyncRedis, worker: Redis, artifacts: ArtifactStore) -> None:
    ids = [await create(api) for _ in range(2)]
    for record_id in ids:
        start(worker, "w1")
        key = stored.keep(artifacts, b"abc", record_id=record_id, worker="w1", number=0)
        assert work.append(worker, record_id, "w1", key, images=1, ttl_s=100, stored=True)
    record = await records.read(api, ids[0])
    assert record is not None
    assert record.stored
    (found,) = [piece async for piece in records.pieces(api, ids[0])]
    assert b"".join(artifacts.read(found.decode())) == b"abc"
    stored.sweep(worker, artifacts)
    assert len(artifacts.files(FOLDER)) == 2
    await records.forget(api, ids[0])
    stored.sweep(worker, artifacts)
    assert artifacts.files(FOLDER) == [f"{ids[1]}/w1/000000"]
    assert worker.smembers(STORED) == {ids[1].encode()}


async def test_taken_over_by_another_worker_nothing_is_mixed(
    api: AsyncRedis, worker: Redis, artifacts: ArtifactStore
) -> None:
    record_id = await create(api)
    for name in ("w1", "w2"):
        start(worker, name)
        key = stored.keep(artifacts, name.encode(), record_id=record_id, worker=name, number=0)
        assert work.append(worker, record_id, name, key, images=1, ttl_s=100, stored=True)
        if name == "w1":
            assert work.put_back(worker, record_id, name)
    (found,) = [piece async for piece in records.pieces(api, record_id)]
    assert b"".join(artifacts.read(found.decode())) == b"w2"


def test_what_redis_has_forgotten_is_found_and_removed(worker: Redis, artifacts: ArtifactStore) -> None:
    stored.keep(artifacts, b"abc", record_id="gone", worker="w1", number=0)
    stored.sweep(worker, artifacts)
    assert artifacts.files(FOLDER)
    stored.find(worker, artifacts)
    stored.sweep(worker, artifacts)
    assert not artifacts.files(FOLDER)


def test_while_storage_is_away_nothing_fails_and_nothing_is_forgotten(
    worker: Redis, artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageAway("object storage does not answer in time")

    worker.sadd(STORED, "gone")
    for name in ("files", "remove"):
        monkeypatch.setattr(artifacts, name, away)
    stored.find(worker, artifacts)
    stored.sweep(worker, artifacts)
    assert worker.smembers(STORED) == {b"gone"}
