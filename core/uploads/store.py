"""The record of each upload in Redis: the truth that API and workers share.

``fewstep:uploads:record:{id}`` is a hash with all that is known of an upload, ``fewstep:uploads:names`` maps
``kind/name`` to the one that has the name, ``fewstep:uploads:waiting`` holds those that a worker is yet to look at,
``fewstep:uploads:pending`` those whose files are on their way to the artifact store. Every change is one atomic script,
a file in ``scripts/``, so that of two uploads of one name one has it, whole.
"""

import json
from typing import Any

from redis import Redis

from core.catalog.datasets import DatasetFacts
from core.catalog.serving import Made, MadeClassifier
from core.connections import text
from core.scripts import Script
from core.uploads.record import Upload, UploadKind, UploadState, parse, place_of_jobs

MAX_TRIES = 3
"""An upload that took so many workers with it is the cause and not the victim."""
PENDING_S = 86400.0
"""An upload that has not come so long after it began does not come any more."""

_NAMES, _PENDING = "fewstep:uploads:names", "fewstep:uploads:pending"
_RECEIVE = Script("uploads/shared", "uploads/receive")
_TAKE = Script("uploads/shared", "uploads/take")
_KEEP = Script("uploads/shared", "uploads/keep")
_SETTLE = Script("uploads/shared", "uploads/settle")
_FORGET = Script("uploads/shared", "uploads/forget")


class UploadStore:
    """Uploads in one Redis. Thread-safe."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def begin(self, upload_id: str) -> None:
        """Note that files of this id may be there before there is a record."""
        self.redis.zadd(_PENDING, {upload_id: self._now()})

    def receive(self, upload: Upload, *, most: int, replaces_others: bool) -> tuple[str, str]:
        """Record an upload whose file is in the artifact store.

        Args:
            upload: As it came.
            most: Uploads that there may be.
            replaces_others: Whether its owner may replace what is not theirs.

        Returns:
            ``received``; ``same`` (the same file is there and read alike), ``other`` (it belongs to another key),
            ``used`` (by a job), ``taken`` (the name, by a job) or ``full``; and the id of the upload or job.
        """
        outcome, found = _RECEIVE.run(
            self.redis,
            *(upload.id, upload.place, upload.family_place, upload.owner, int(replaces_others), most),
            *(upload.sha256, json.dumps(upload.asked, sort_keys=True)),
            *("kind", upload.kind, "name", upload.name, "size", upload.size),
        )
        return text(outcome), text(found)

    def read(self, upload_id: str) -> Upload | None:
        """The record, or None if there is none or no more."""
        found = self.redis.hgetall(f"fewstep:uploads:record:{upload_id}")
        fields = {text(name): text(value) for name, value in found.items()}
        return parse(fields) if fields else None

    def find(self, kind: UploadKind, name: str) -> Upload | None:
        """The upload that has a name."""
        found = self.redis.hget(_NAMES, f"{kind}/{name}")
        return None if found is None else self.read(text(found))

    def all(self, *kinds: UploadKind) -> list[Upload]:
        """Those of these kinds, or of any, newest first."""
        places = self.redis.hgetall(_NAMES)
        ids = [text(found) for place, found in places.items() if not kinds or text(place).split("/")[0] in kinds]
        records = [record for upload_id in ids if (record := self.read(upload_id)) is not None]
        return sorted(records, key=lambda record: record.created, reverse=True)

    def forget(self, kind: UploadKind, name: str) -> tuple[str, str]:
        """Take a name back; its files are then among those to be removed.

        Returns:
            ``deleted`` and the upload's id; ``none``; or ``used`` and the id of a job.
        """
        outcome, found = _FORGET.run(self.redis, f"{kind}/{name}", place_of_jobs(kind, name))
        return text(outcome), text(found)

    # What a worker does.

    def take(self, worker: str, *, lease_s: float) -> Upload | None:
        """An upload to look at, which nobody else has then while it is kept."""
        found = _TAKE.run(self.redis, worker, lease_s, MAX_TRIES)
        return None if found is None else self.read(text(found))

    def keep(self, upload_id: str, worker: str, *, lease_s: float) -> bool:
        """Renew that; returns whether it is still this worker's."""
        return _KEEP.run(self.redis, upload_id, worker, lease_s) is not None

    def settle(
        self,
        upload_id: str,
        worker: str,
        state: UploadState,
        *,
        reason: str = "",
        facts: DatasetFacts | None = None,
        made: Made | MadeClassifier | None = None,
    ) -> bool:
        """Write down what was found; returns whether it was still this worker's to say."""
        documents = [one.model_dump_json() if one is not None else "" for one in (facts, made)]
        return _SETTLE.run(self.redis, upload_id, worker, state, reason, *documents) is not None

    def abandoned(self) -> list[str]:
        """Ids of uploads that never came whole, of which files may be left; they are then forgotten."""
        late: Any = self.redis.zrangebyscore(_PENDING, "-inf", self._now() - PENDING_S)
        ids = [text(found) for found in late]
        if ids:
            self.redis.zrem(_PENDING, *ids)
        return [upload_id for upload_id in ids if self.read(upload_id) is None]

    def _now(self) -> float:
        seconds, microseconds = self.redis.time()
        return float(seconds) + microseconds / 1e6
