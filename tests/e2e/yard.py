"""Distillation workers as real processes on a Redis of their own, without an API."""

import signal
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from redis import Redis

from core.broker import make_celery
from core.catalog.artifacts import ArtifactStore
from core.catalog.card import read_card
from core.catalog.serving import Serving, read
from core.jobs.record import ENDED, JobRecord, JobState
from core.jobs.references import CheckpointRef, JobKind
from core.jobs.request import DistillJob, DistillRequest
from core.jobs.store import JobStore
from core.jobs.training import TrainingJob, TrainingRequest
from core.methods.declaration import find_method
from core.settings import Settings
from tests.processes import Process, RedisServer, free_port, module_of, wait_until
from tests.prometheus import Scrape, scrape
from worker.distillation.worker import send_slice

WORKER, *ARGUMENTS = module_of("distiller")
SABOTEUR = "tests.e2e.saboteur"
HEARTBEAT_S = 0.5
SLICE_S = 0.1
ITERATIONS = 4
"""Of the first round of a job; enough for several slices."""
IN_HAND = {
    f"fewstep_distill_{name}"
    for name in ("loss", "gradient_norm", "iterations_per_second", "progress_ratio", "remaining_seconds")
}
"""Metrics of a job in hand."""


class Yard:
    """A Redis, a folder of artifacts, a data set of 8x8 pictures, and workers by name."""

    def __init__(self, folder: Path, family: Path, *, artifacts: str | None = None) -> None:
        self.folder, self.family = folder, family
        folder.mkdir(exist_ok=True)
        self.redis = RedisServer(folder)
        self.settings = Settings(
            redis_url=self.redis.url,
            checkpoints=family.parent,
            var=folder,
            artifacts=artifacts or str(folder / "artifacts"),
            heartbeat_s=HEARTBEAT_S,
            slice_s=SLICE_S,
            lease_s=30,
            device="cpu",
        )
        draw_pictures(self.settings.datasets / "squares")
        self.store = JobStore(Redis.from_url(self.redis.url))
        self.artifacts = ArtifactStore(self.settings.artifacts, cache=folder / "cache")
        self.workers: dict[str, Process] = {}
        self.port = 0

    def start(
        self, name: str = "one", *, module: str = WORKER, runner: Sequence[str] = (), **changes: object
    ) -> Process:
        """Start a worker, with its own working folder, and other settings than the rest where said so."""
        settings = self.settings.model_copy(update=changes) if module == WORKER else self.settings
        (self.folder / name / "accident").unlink(missing_ok=True)
        names = ("checkpoints", "artifacts", "datasets", "heartbeat_s", "slice_s", "lease_s", "device")
        environment = {f"FEWSTEP_{field.upper()}": str(getattr(settings, field)) for field in names}
        environment["FEWSTEP_REDIS_URL"] = settings.redis_url.get_secret_value()
        self.port = free_port()
        environment |= {"FEWSTEP_VAR": str(self.folder / name), "FEWSTEP_DISTILLER_METRICS_PORT": str(self.port)}
        environment |= {name: str(value) for name, value in changes.items() if name.isupper()}
        log = self.folder / f"{name}.log"
        self.workers[name] = Process(module, *ARGUMENTS, environment=environment, log=log, runner=runner)
        return self.workers[name]

    def stop(self, name: str = "one", sign: signal.Signals = signal.SIGTERM) -> int:
        """End a worker."""
        return self.workers.pop(name).stop(sign)

    def submit(self, **request: Any) -> str:  # noqa: ANN401
        """A job of PD from the tiny 8-step student, changed as said; gives its id."""
        job = self.job(**request)
        outcome, job_id = self.store.create(job, max_active=100)
        assert outcome == "created"
        send_slice(make_celery(self.settings), job_id, 0)
        return job_id

    def job(self, *, teacher: str = "8-step", **request: Any) -> DistillJob:  # noqa: ANN401
        """As ``submit``, not recorded."""
        facts = {"method": "pd", "from_steps": 8, "to_steps": 2, "iterations": ITERATIONS, "batch_size": 16}
        body = DistillRequest.model_validate(
            {**facts, "data": "squares", "teacher": f"{self.family.name}/{teacher}", **request}
        )
        card = read_card(self.family / teacher)
        job_id = uuid.uuid4().hex
        assert body.from_steps is not None
        steps = find_method(body.method).plan(body.from_steps, body.to_steps, convert=False)
        assert steps is not None
        return DistillJob(
            id=job_id,
            name=body.name or f"job-{job_id[:8]}",
            request=body,
            teacher=CheckpointRef(family=self.family.name, checkpoint=teacher, artifact=None, sha256=card.sha256),
            steps=steps,
            classifier=None,
            data=body.data or "squares",
            judge=None,
            created=time.time(),
            request_id="test",
        )

    def train(self, kind: str, **request: Any) -> str:  # noqa: ANN401
        """A job that trains on squares; gives its id."""
        job_id = uuid.uuid4().hex
        body = TrainingRequest.model_validate({"kind": kind, "data": "squares", **request})
        job = TrainingJob(
            id=job_id,
            kind=JobKind(kind),
            name=body.name or f"job-{job_id[:8]}",
            request=body,
            data=body.data,
            created=time.time(),
            request_id="test",
        )
        assert self.store.create(job, max_active=100) == ("created", job_id)
        send_slice(make_celery(self.settings), job_id, 0)
        return job_id

    def record(self, job_id: str) -> JobRecord:
        """What is known of a job, which must be there."""
        record = self.store.read(job_id)
        assert record is not None
        return record

    def submit_and_pause(self, name: str = "one", **changes: object) -> tuple[str, Path]:
        """A job, and a worker that stands still in the middle of a slice of its second round, with the first one saved.

        Returns the job's id and the file to remove for the worker to go on; when asked to stop it does so too.
        """
        self.start(name, module=SABOTEUR, runner=(), SABOTAGE="pause", **changes)
        job_id, mark = self.submit(), self.folder / name / "accident"
        wait_until(mark.exists, what="the middle of a slice")
        record = self.record(job_id)
        assert record.state is JobState.RUNNING
        assert record.lease > self.store.now(), "nobody works on it"
        assert record.round == 1
        assert record.saved
        return job_id, mark

    def wait_for_iteration(self, job_id: str, *, least: int = 1, round_index: int = 0) -> JobRecord:
        """Wait until a saved state has come so far."""

        def there() -> bool:
            record = self.record(job_id)
            assert record.state not in ENDED, record
            return (record.round, record.iteration) >= (round_index, least)

        wait_until(there, what=f"iteration {least} of round {round_index}")
        return self.record(job_id)

    def ended(self, job_id: str, state: JobState = JobState.SUCCEEDED) -> JobRecord:
        """The record once the job has ended, as said."""
        wait_until(lambda: self.record(job_id).state in ENDED, what="the end of the job")
        record = self.record(job_id)
        assert record.state is state, record
        return record

    def serving(self) -> Serving:
        """What jobs have added to the families."""
        return read(self.store.redis)

    def weights(self, job_id: str) -> dict[str, str]:
        """Hash of the weights of each student that serves."""
        return {name: made.card.sha256 for (_, name), made in self.serving().made.items() if made.job == job_id}

    def scrape(self) -> Scrape:
        """All that the worker shows that was started last."""
        return scrape(f"http://127.0.0.1:{self.port}")

    def log(self, name: str = "one") -> str:
        """What a worker has logged."""
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        """End everything, Redis last."""
        for name in list(self.workers):
            self.stop(name, signal.SIGKILL)
        self.redis.stop()


def draw_pictures(folder: Path) -> None:
    """64 pictures of 8x8 RGB squares in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(64):
        picture = np.zeros((8, 8, 3), np.uint8)
        top, left = random.integers(0, 5, 2)
        picture[top : top + 4, left : left + 4] = random.integers(60, 255, 3)
        Image.fromarray(picture).save(folder / f"{index:02}.png")
