"""Redis that is there and refuses: for full memory, missing replicas, a failover, another password, a busy script."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.e2e.stack import Stack, is_ready
from tests.problems import problem
from tests.processes import free_port, wait_until

PASSWORD, OTHER_PASSWORD = "s3cret-of-redis", "s3cret-and-new"
ASYNC = {"Prefer": "respond-async", "Accept": "application/x-npy"}
BULK = {"n": 300, "steps": 4, "seed": 1}
"""In two pieces."""
JOB: dict[str, Any] = {
    "teacher": "digits/8-step",
    "method": "pd",
    "data": "synthetic",
    "to_steps": 4,
    "iterations": 100_000,
    "batch_size": 2,
    "evaluate": None,
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Stack]:
    """The service with a distillation worker and a password, which no log may show."""
    folder = tmp_path_factory.mktemp("refusals")
    shutil.copytree(tiny_family, folder / "checkpoints" / "digits")
    stack = Stack(folder, folder / "checkpoints", password=PASSWORD, FEWSTEP_MAX_IMAGES="64")
    stack.start("distiller", FEWSTEP_LOG_FORMAT="console")
    wait_until(lambda: is_ready(stack.api), what="ready")
    wait_until(lambda: stack.api.get("/readyz").json()["checks"]["distillation"]["ok"], what="the distiller")
    yield stack
    stack.close()


def admin(stack: Stack, password: str = PASSWORD) -> Redis:
    return Redis(port=stack.redis.port, password=password, socket_timeout=None)


@contextmanager
def setting(stack: Stack, name: str, value: object) -> Iterator[None]:
    with admin(stack) as redis:
        before = redis.config_get(name)[name]
        redis.config_set(name, value)
        try:
            yield
        finally:
            redis.config_set(name, before)


@contextmanager
def replica(stack: Stack) -> Iterator[None]:
    with admin(stack) as redis:
        redis.replicaof("127.0.0.1", free_port())
        try:
            yield
        finally:
            redis.replicaof("NO", "ONE")


@contextmanager
def cut_off(stack: Stack) -> Iterator[None]:
    with setting(stack, "replica-serve-stale-data", "no"), replica(stack):
        yield


@contextmanager
def other_password(stack: Stack) -> Iterator[None]:
    with admin(stack) as redis:
        redis.config_set("requirepass", OTHER_PASSWORD)
        for kind in ("normal", "pubsub"):
            redis.client_kill_filter(_type=kind)
    try:
        yield
    finally:
        with admin(stack, OTHER_PASSWORD) as redis:
            redis.config_set("requirepass", PASSWORD)


@contextmanager
def busy(stack: Stack) -> Iterator[None]:
    def block() -> None:
        with suppress(RedisError), admin(stack) as redis:
            redis.eval("while true do end", 0)

    with setting(stack, "busy-reply-threshold", 50):
        thread = threading.Thread(target=block)
        thread.start()
        wait_until(partial(is_busy, stack), what="the script")  # or a request slips in before, and waits for its end
        try:
            yield
        finally:
            with admin(stack) as redis:
                redis.script_kill()
            thread.join()


def is_busy(stack: Stack) -> bool:
    try:
        with admin(stack) as redis:
            redis.ping()
    except RedisError:
        return True
    return False


TROUBLES: dict[str, Callable[[Stack], Any]] = {
    "OOM": lambda stack: setting(stack, "maxmemory", 1),
    "NOREPLICAS": lambda stack: setting(stack, "min-replicas-to-write", 1),
    "READONLY": replica,
    "MASTERDOWN": cut_off,
    "WRONGPASS": other_password,
    "BUSY": busy,
}


@pytest.fixture(scope="module")
def plain(stack: Stack) -> bytes:
    """What the bulk request comes to in peace."""
    return ended(stack.api, stack.api.post("/generate", json=BULK, headers=ASYNC).headers["location"]).content


def ended(api: httpx.Client, path: str) -> httpx.Response:
    """The answer once it is there."""
    wait_until(lambda: api.get(path).status_code not in (202, 503), what="the end")
    return api.get(path)


@pytest.mark.parametrize("code", TROUBLES)
def test_what_was_accepted_is_done_after_the_cure(stack: Stack, plain: bytes, code: str) -> None:
    api, sampler = stack.api, stack.processes["sampler"]
    sampler.freeze()
    bulk = [api.post("/generate", json=BULK, headers=ASYNC).headers["location"] for _ in range(2)]
    with TROUBLES[code](stack):
        sampler.thaw()
        for path, body, headers in (("/generate", {}, {}), ("/generate", {}, ASYNC), ("/distill-jobs", JOB, {})):
            refused = api.post(path, json=body, headers=headers)
            assert (
                f"({code})" in problem(refused, 503)["detail"] or code == "MASTERDOWN"
            )  # or READONLY, for what writes
            assert int(refused.headers["retry-after"]) > 0
        assert api.get("/livez").status_code == 200
        checks = problem(api.get("/readyz"), 503)["checks"]
        assert f"({code})" in checks["redis"]["detail"]
        assert stack.metric("api", "fewstep_redis_up") == 0
        wait_until(lambda: stack.log("sampler").count(f"{code} ") > 3, what="the worker in trouble")
    cured = time.monotonic()
    wait_until(lambda: is_ready(api), what="ready again")
    for path in bulk:
        assert ended(api, path).content == plain
    assert time.monotonic() - cured < 30  # and not after the half minute that a lost message is looked for
    assert stack.processes["sampler"] is sampler
    assert sampler.alive
    assert api.post("/generate").status_code == 200


def test_a_job_waits_it_out_and_is_not_to_blame(stack: Stack) -> None:
    api, distiller = stack.api, stack.processes["distiller"]
    job = api.post("/distill-jobs", json=JOB).headers["location"]
    for code in ("OOM", "NOREPLICAS", "WRONGPASS"):
        before, logged = now_at(api, job), len(stack.log("distiller"))
        wait_until(partial(went_on, api, job, before), what="training")
        with TROUBLES[code](stack):
            wait_until(partial(in_trouble, stack, code, logged), what="the worker in trouble")
    before = now_at(api, job)
    wait_until(partial(went_on, api, job, before), what="training after the last cure")
    assert api.get(job).json()["state"] == "running"
    assert api.post(f"{job}/cancel").status_code in (200, 202)
    wait_until(lambda: api.get(job).json()["state"] == "cancelled", what="the end of the job")
    assert "slice died" not in stack.log("distiller")
    assert distiller.alive


def in_trouble(stack: Stack, code: str, logged: int) -> bool:
    return f"{code} " in stack.log("distiller")[logged:]


def went_on(api: httpx.Client, job: str, before: tuple[int, int]) -> bool:
    return now_at(api, job) > before


def now_at(api: httpx.Client, job: str) -> tuple[int, int]:
    document = api.get(job).json()
    return document["round"], document["iteration"]


def test_no_log_shows_a_password_or_much_of_an_error(stack: Stack) -> None:
    logs = list(stack.folder.glob("*.log"))
    assert len(logs) > 3
    for log in logs:
        text = log.read_text()
        assert PASSWORD not in text, log
        assert OTHER_PASSWORD not in text, log
        assert max(map(len, text.splitlines()), default=0) < 8000, log
        assert text.count("Traceback") < 50, log
