"""An API over real Redis, without workers, with families, classifiers and data sets to distil."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from core.catalog import datasets, serving
from core.catalog.datasets import DatasetFacts
from core.jobs.store import JobStore
from models.diffusion.schedule import step_rows
from tests.app.keyed import Keyed, asking_for_keys
from tests.processes import NO_TLS, Process, RedisServer, free_port, module_of, wait_until

FINGERPRINT = 64 * "f"
"""Of the data set ``pictures``, which the teacher, its classifier and its judge know."""
SHAPE = (3, 8, 8)
CLASSES = ("cat", "dog", "fox")
"""Of the teacher ``classes/2-step``."""
MAX_ACTIVE_JOBS = 30
DATASETS = [
    DatasetFacts(name="pictures", image_shape=SHAPE, images=9, num_classes=None, fingerprint=FINGERPRINT),
    DatasetFacts(name="labelled", image_shape=SHAPE, images=9, num_classes=3, fingerprint=64 * "e"),
    DatasetFacts(name="broken", error="the archive is damaged"),
]


class Api:
    """Two API processes on one Redis, and what belongs to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis_server = RedisServer(folder)
        self.redis = Redis.from_url(self.redis_server.url)
        self.jobs = JobStore(self.redis)
        environment = {
            "FEWSTEP_REDIS_URL": self.redis_server.url,
            "FEWSTEP_VAR": str(folder),
            "FEWSTEP_CHECKPOINTS": str(folder / "checkpoints"),
            "FEWSTEP_DEFAULT_MODEL": "digits",
            "FEWSTEP_LOG_FORMAT": "json",
            "FEWSTEP_MAX_ACTIVE_JOBS": str(MAX_ACTIVE_JOBS),
        }
        self.environment = environment
        self._processes: list[Process] = []
        self.client, self.other = self.start()[1], self.start()[1]

    def start(self, **changes: str) -> tuple[Process, httpx.Client]:
        """One more API process, with other variables where said so, and a client of it."""
        port = free_port()
        environment = self.environment | {"FEWSTEP_PORT": str(port)} | changes
        process = Process(*module_of("api"), environment=environment, log=self.folder / f"api-{port}.log")
        self._processes.append(process)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=NO_TLS)
        wait_until(lambda: _answers(process, client), what="API answering")
        return process, client

    def artifact(self, key: str) -> Path:
        """Where the artifact of a key is."""
        return self.folder / "artifacts" / key

    def clear(self) -> None:
        """Forget all jobs; the version goes on, as it does in a Redis that loses nothing."""
        self.redis.flushall()
        self.redis.set(serving.VERSION, time.time_ns())
        datasets.tell(self.redis, DATASETS)

    def close(self) -> None:
        """End everything, Redis last."""
        for client in (self.client, self.other):
            client.close()
        for process in self._processes:
            process.stop()
        self.redis.close()
        self.redis_server.stop()


def _answers(process: Process, client: httpx.Client) -> bool:
    assert process.alive, process.log.read_text()
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path, conditional_family: Path) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    checkpoints, teachers = folder / "checkpoints", folder / "teachers"
    shutil.copytree(tiny_family, checkpoints / "digits")
    judge = {"extractor_sha256": 64 * "2", "data": "pictures", "data_fingerprint": FINGERPRINT, "num_steps": 8}
    _change(checkpoints / "digits" / "teacher", data_fingerprint=FINGERPRINT, metrics={"evaluations": [judge]})
    shutil.copytree(conditional_family, checkpoints / "classes")
    _change(checkpoints / "classes" / "2-step", class_names=CLASSES)
    for name in ("noise", "huge"):
        shutil.copytree(tiny_family / "8-step", teachers / name / "8-step")
    shutil.copytree(tiny_family / "1-step", teachers / "noise" / "1-step")
    for name in ("8-step", "1-step"):
        _change(teachers / "noise" / name, prediction_type="epsilon")
    for num_steps in (12, 15):
        shutil.copytree(tiny_family / "8-step", teachers / "odd" / f"{num_steps}-step")
        _change(teachers / "odd" / f"{num_steps}-step", num_steps=num_steps, rows=step_rows(num_steps))
    shutil.copytree(tiny_family / "teacher", teachers / "odd" / "worse")
    _change(teachers / "odd" / "worse", sha256=64 * "9")
    shutil.copytree(tiny_family / "teacher", teachers / "huge" / "teacher")
    for name in ("8-step", "teacher"):
        _change(teachers / "huge" / name, parameters=10**10, sha256=64 * "8")
    shutil.copytree(tiny_family, teachers / "digits")  # hidden by the first one
    write_classifier(checkpoints / "digits" / "classifier", sha256=64 * "1")
    write_classifier(checkpoints / "digits" / "judge", sha256=64 * "2", architecture="densenet-small")
    write_classifier(folder / "classifiers" / "twin", sha256=64 * "3", architecture="densenet-small")
    write_classifier(folder / "classifiers" / "grey", sha256=64 * "4", image_shape=(1, 8, 8))
    write_classifier(folder / "classifiers" / "stranger", sha256=64 * "5", data_fingerprint=64 * "0")
    (folder / "classifiers" / "damaged").mkdir()
    (folder / "classifiers" / "damaged" / "classifier.json").write_text("{")
    running = Api(folder)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def api(_running: Api) -> Api:
    """The API, without any job."""
    _running.clear()
    return _running


@pytest.fixture(scope="session")
def _keyed(_running: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    with asking_for_keys(_running, tmp_path_factory.mktemp("keys") / "keys.json") as keyed:
        yield keyed


@pytest.fixture
def keyed(_keyed: Keyed) -> Keyed:
    """An API that asks for keys, without any job, generation or count."""
    _keyed.api.clear()
    return _keyed


def _change(checkpoint: Path, **changes: Any) -> None:  # noqa: ANN401
    card = checkpoint / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def write_classifier(folder: Path, **changes: Any) -> None:  # noqa: ANN401
    """The card of a classifier; the API reads no more of it."""
    facts = {
        "fewstep_version": "0",
        "architecture": "resnet-small",
        "image_shape": SHAPE,
        "num_classes": 3,
        "num_features": 4,
        "parameters": 10,
        "accuracy": 0.9,
        "test_images": 9,
        "data": "pictures",
        "data_fingerprint": FINGERPRINT,
    }
    folder.mkdir(parents=True)
    (folder / "classifier.json").write_text(json.dumps(facts | changes))
