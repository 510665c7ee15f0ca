"""Has uploads looked at, one after the other, in a thread beside the training and each in a process of its own."""

import shutil
import time
from pathlib import Path
from threading import Thread
from typing import Any

from redis.exceptions import RedisError

from core.catalog.artifacts import ArtifactStore, StorageAway, open_artifacts
from core.catalog.card import read_card
from core.catalog.classifier_card import read_classifier_card
from core.catalog.datasets import DatasetFacts
from core.catalog.serving import Made, MadeClassifier
from core.connections import connect
from core.errors import InvalidRequest, NotFound
from core.jobs.store import JobStore
from core.log import get_logger
from core.settings import Settings
from core.uploads.record import Upload, UploadKind, UploadState
from core.uploads.store import UploadStore
from worker.brought import verify_file
from worker.child import Child, ChildDied

LEASE_S = 60.0
KEEP_EVERY_S = 10.0
TIDY_EVERY_S = 600.0

log = get_logger(__name__)


def make_looker(*arguments: object) -> object:
    """As of ``worker.uploads.look``, which is imported in the child alone."""
    from worker.uploads import look

    return look.make_looker(*arguments)  # type: ignore[arg-type]


class Inspector:
    """Called at each heartbeat of a worker; does not hold it up."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._settings, self._worker = settings, worker
        redis = connect(settings, patient=False)
        self._store, self._jobs = UploadStore(redis), JobStore(redis)
        self._artifacts: ArtifactStore = open_artifacts(settings)
        self._thread: Thread | None = None
        self._tidied = float("-inf")

    def __call__(self) -> None:
        """Begin to look at what waits, unless that is being done."""
        if self._thread is not None and self._thread.is_alive():
            return
        if time.monotonic() - self._tidied > TIDY_EVERY_S:
            self._tidied = time.monotonic()
            for upload_id in self._store.abandoned():
                self._jobs.discard(f"uploads/{upload_id}")
        if upload := self._store.take(self._worker, lease_s=LEASE_S):
            self._thread = Thread(target=self._run, args=[upload], name="uploads", daemon=True)
            self._thread.start()

    def _run(self, upload: Upload | None) -> None:
        try:
            while upload is not None:
                if not self._inspect(upload):
                    return
                upload = self._store.take(self._worker, lease_s=LEASE_S)
        except RedisError as error:
            log.warning("upload not looked at to its end", error=str(error))

    def _inspect(self, upload: Upload) -> bool:
        """Look at one and say what it is; returns whether there is a use in looking at the next."""
        folder = self._settings.var / "work" / "uploads" / upload.id
        shutil.rmtree(folder, ignore_errors=True)
        state, found = UploadState.READY, dict[str, Any]()
        try:
            folder.mkdir(parents=True)
            found = self._find(upload, folder)
        except (InvalidRequest, NotFound) as error:
            state, found = UploadState.REFUSED, {"reason": error.detail}
        except ChildDied as death:
            state, found = UploadState.REFUSED, {"reason": f"looking at it failed: {death}"}
        except (StorageAway, OSError) as error:
            log.warning("upload to be looked at later", upload=upload.id, error=str(error))
            self._store.settle(upload.id, self._worker, UploadState.RECEIVED)
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if self._store.settle(upload.id, self._worker, state, **found):
            log.info("upload looked at", upload=upload.id, place=upload.place, state=str(state), **_words(found))
            if state is UploadState.REFUSED or upload.kind is not UploadKind.DATASET:
                self._jobs.discard(f"{upload.folder}/received")
        else:
            self._jobs.discard(upload.folder)  # it has been replaced or deleted meanwhile
        return True

    def _find(self, upload: Upload, folder: Path) -> dict[str, Any]:
        """What it comes to: arguments of ``UploadStore.settle``."""
        parent, _, name = upload.file.rpartition("/")
        path = self._artifacts.folder(parent) / name
        verify_file(path, upload.sha256)
        out = folder / name
        findings = self._look(upload, path, out)
        if "reason" in findings:
            raise InvalidRequest(findings["reason"])
        if upload.kind is UploadKind.DATASET:
            return {"facts": DatasetFacts.model_validate_json(findings["facts"])}
        self._artifacts.put(out, upload.made)
        facts = {"artifact": upload.made, "job": upload.id, "owner": upload.owner}
        if upload.kind is UploadKind.MODEL:
            return {"made": Made(card=read_card(out), **facts)}
        return {"made": MadeClassifier(card=read_classifier_card(out), **facts)}

    def _look(self, upload: Upload, path: Path, out: Path) -> dict[str, Any]:
        settings, began = self._settings, time.monotonic()
        kept = began

        def is_hung() -> bool:
            nonlocal kept
            now = time.monotonic()
            if now - kept > KEEP_EVERY_S:
                kept = now
                if not self._store.keep(upload.id, self._worker, lease_s=LEASE_S):
                    return True
            return now - began > settings.look_s

        child = Child(make_looker, settings.max_unpacked_bytes, settings.max_job_memory_bytes)  # type: ignore[arg-type]
        try:
            found: dict[str, Any] = child.call(
                str(upload.kind), str(path), str(out), dict(upload.asked), is_hung=is_hung
            )
        except ChildDied:
            if time.monotonic() - began > settings.look_s:
                raise InvalidRequest(f"it could not be looked at within {settings.look_s:g} seconds") from None
            raise
        finally:
            child.close()
        return found


def _words(found: dict[str, Any]) -> dict[str, str]:
    return {"reason": found["reason"]} if "reason" in found else {}
