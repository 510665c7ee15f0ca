"""Removing files of jobs, at once or, where the artifact store is away, later."""

from redis.exceptions import RedisError

from core.catalog.artifacts import ArtifactStore, StorageAway
from core.jobs.store import JobStore
from core.log import get_logger

log = get_logger(__name__)


def remove_or_discard(store: JobStore, artifacts: ArtifactStore, key: str) -> bool:
    """Remove a file or folder now, or note that it is to be removed. Returns whether it is gone."""
    try:
        artifacts.remove(key)
    except (StorageAway, OSError) as error:
        store.discard(key)
        log.warning("to be removed later", key=key, error=str(error))
        return False
    try:
        store.removed(key)
    except RedisError as error:
        log.warning("removed, and to be removed again", key=key, error=str(error))
    return True
