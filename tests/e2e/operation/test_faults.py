"""What happens when parts of the service die."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
from redis import Redis

from core.generation import records
from tests.e2e.stack import HEARTBEAT_S, Stack, is_ready
from tests.processes import wait_until

ASYNC = {"Prefer": "respond-async"}


def submit(api: httpx.Client, **body: object) -> str:
    response = api.post("/generate", json=body, headers=ASYNC)
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


def begun(api: httpx.Client, location: str) -> bool:
    """Whether a generation is running or has ended."""
    return bool(api.get(location).json().get("status") != "queued")


def freeze_while_running(stack: Stack, **body: object) -> str:
    """Submit a generation and freeze the worker in the middle of it. Returns where to ask for it."""
    sampler = stack.processes["sampler"]
    while True:
        location = submit(stack.api, **body)
        wait_until(partial(begun, stack.api, location), what="its beginning")
        sampler.freeze()
        if stack.api.get(location).status_code == 202:
            return location
        sampler.thaw()  # too fast: it had ended by then


@contextmanager
def waiting_for(stack: Stack, **body: object) -> Iterator[list[httpx.Response]]:
    """A request that waits for its answer, while the worker is frozen; the answer is there at the end."""
    sampler, answers = stack.processes["sampler"], list[httpx.Response]()
    with httpx.Client(base_url=stack.api.base_url, timeout=60) as client:
        waiting = threading.Thread(target=lambda: answers.append(client.post("/generate", json=body)))
        sampler.freeze()
        try:
            waiting.start()
            with Redis.from_url(stack.redis.url) as redis:
                wait_until(lambda: redis.zcard(records.QUEUED) == 1, what="queued")
            yield answers
        finally:
            sampler.thaw()
            waiting.join(timeout=60)


def fetched(api: httpx.Client, location: str) -> httpx.Response:
    """The answer once it is there."""
    wait_until(lambda: api.get(location).status_code != 202, what="the end")
    response = api.get(location)
    assert response.status_code == 200, response.text
    return response


def test_a_killed_worker_loses_nothing_and_without_one_the_service_says_so(stack: Stack) -> None:
    path = freeze_while_running(stack, n=400, steps=8, seed=1)
    stack.stop("sampler", signal.SIGKILL)
    wait_until(lambda: not is_ready(stack.api), timeout_s=6 * HEARTBEAT_S, what="the missing heartbeat")

    response = stack.api.post("/generate")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "no sampling worker" in response.json()["detail"]
    ready = stack.api.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["redis"]["ok"]
    assert not ready.json()["checks"]["sampling"]["ok"]
    queued = submit(stack.api, seed=2)
    assert stack.api.get(queued).json()["status"] == "queued"
    metrics = stack.scrape("api")
    assert metrics.get("fewstep_workers", queue="sampling") == 0
    assert (
        metrics.get("fewstep_requests_queued")
        == metrics.get("fewstep_queue_messages", queue="sampling", state="waiting")
        == 1
    )
    assert metrics.get("fewstep_queue_oldest_message_age_seconds", queue="sampling") > 0

    stack.ensure_ready()
    for location in (path, queued):
        fetched(stack.api, location)
    assert len(stack.api.get(path).json()["images"]) == 400
    assert "left by its worker, queued again" in stack.log("sampler")
    assert stack.scrape("sampler").get("fewstep_redeliveries_total", queue="sampling") >= 1


def test_a_restart_of_redis_is_survived_by_those_who_wait(stack: Stack) -> None:
    with waiting_for(stack, seed=3) as answers:
        location = submit(stack.api, seed=4)
        stack.redis.stop(signal.SIGKILL)
        assert stack.api.post("/generate").status_code == 503
        assert stack.api.get(location).status_code == 503
        assert stack.api.get("/readyz").json()["checks"]["redis"]["ok"] is False
        assert stack.api.get("/livez").status_code == 200
        metrics = stack.scrape("api")
        assert metrics.get("fewstep_redis_up") == 0
        assert "fewstep_queue_messages" not in metrics.names()
        assert metrics.get("fewstep_storage_free_bytes", volume="var") > 0
        stack.redis.start()
    (answer,) = answers
    assert answer.status_code == 200, answer.text
    assert answer.json()["seed"] == 3
    fetched(stack.api, location)


def test_a_lost_subscription_is_renewed_in_time_for_who_waits(stack: Stack) -> None:
    with waiting_for(stack, n=60, steps=8) as answers, Redis.from_url(stack.redis.url) as redis:
        redis.client_kill_filter(_type="pubsub")
    assert answers[0].status_code == 200, answers[0].text


def test_a_worker_that_is_stopped_finishes_what_it_has(stack: Stack) -> None:
    path = freeze_while_running(stack, n=100, steps=8)
    assert stack.stop("sampler") == 0
    assert stack.api.get(path).status_code == 200
    assert not is_ready(stack.api)


def test_an_api_that_is_stopped_finishes_what_it_has(stack: Stack) -> None:
    with waiting_for(stack, n=100, steps=8) as answers:
        stack.processes["api"].terminate()
    assert stack.stop("api") in (0, -signal.SIGTERM)
    assert answers[0].status_code == 200


def test_the_distillation_worker_idles_beside_and_a_second_needs_a_metrics_port_of_its_own(stack: Stack) -> None:
    stack.start("distiller")
    first = stack.processes["distiller"]
    wait_until(lambda: stack.api.get("/readyz").json()["checks"]["distillation"]["ok"], what="the distiller")
    assert stack.metric("distiller", "python_info") == 1
    stack.start("distiller")
    wait_until(lambda: not stack.processes["distiller"].alive, what="the second giving up")
    assert stack.stop("distiller") == 1
    assert f"metrics port {stack.ports['distiller']}" in stack.log("distiller")
    assert first.stop() == 0
    assert not stack.api.get("/readyz").json()["checks"]["distillation"]["ok"]
