"""Results that are too large for Redis: their pieces are files of the artifact store, and Redis says where.

``results/{id}/{worker}/{number}`` is a piece; a worker that takes over what another has left writes anew. The set
``fewstep:generate:stored`` has the ids of which there are files. They go with the record, once the time is over that
results are kept, or before, where somebody has cancelled it.
"""

import tempfile
from pathlib import Path

from redis import Redis

from core.catalog.artifacts import ArtifactStore, StorageAway
from core.connections import text
from core.generation.records import Status, record_key
from core.log import get_logger

STORED = "fewstep:generate:stored"
FOLDER = "results"
_NOT_KEPT = (None, Status.CANCELLED.encode(), Status.FAILED.encode())

log = get_logger(__name__)


def keep(artifacts: ArtifactStore, piece: bytes, *, record_id: str, worker: str, number: int) -> str:
    """Write a piece. Returns its key.

    Raises:
        OSError: It cannot be written to the folder that the store is.
        StorageAway: The store is none and cannot be reached.
    """
    key = f"{FOLDER}/{record_id}/{worker}/{number:06}"
    with tempfile.NamedTemporaryFile() as file:
        file.write(piece)
        file.flush()
        artifacts.put(Path(file.name), key)
    return key


def find(redis: Redis, artifacts: ArtifactStore) -> None:
    """Note what is there, of which Redis knows nothing where it has lost its memory; for the start of a worker."""
    try:
        ids = {path.partition("/")[0] for path in artifacts.files(FOLDER)}
    except StorageAway as error:
        log.warning("old results are not looked for", detail=error.detail)
        return
    if ids:
        redis.sadd(STORED, *ids)


def sweep(redis: Redis, artifacts: ArtifactStore) -> None:
    """Remove the files of results that nobody can fetch any more; harmless from any number of workers at once."""
    ids = sorted(text(record_id) for record_id in redis.smembers(STORED))
    if not ids:
        return
    with redis.pipeline(transaction=False) as pipe:
        for record_id in ids:
            pipe.hget(record_key(record_id), "status")
        statuses = pipe.execute()
    try:
        for record_id in [record_id for record_id, status in zip(ids, statuses, strict=True) if status in _NOT_KEPT]:
            artifacts.remove(f"{FOLDER}/{record_id}")
            redis.srem(STORED, record_id)
    except StorageAway as error:
        log.warning("old results are left for now", detail=error.detail)
