"""What operators see: health, metrics, logs, models."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis import Redis

from core.connections import text
from tests.e2e.stack import HASTY_DEADLINE_S, Stack
from tests.processes import wait_until


def test_health(stack: Stack) -> None:
    assert stack.api.get("/livez").json() == {"status": "alive"}
    ready = stack.api.get("/readyz").json()
    assert ready["checks"]["redis"]["ok"]
    ((name, facts),) = ready["checks"]["sampling"]["workers"].items()
    assert abs(datetime.fromisoformat(facts["started"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert name.startswith("sampling@")
    assert str(stack.processes["sampler"].pid) in name


def test_workers_that_sample_in_different_precisions_are_named(stack: Stack) -> None:
    def check() -> dict[str, Any]:
        found: dict[str, Any] = stack.api.get("/readyz").json()["checks"]["precision"]
        return found

    answer = stack.api.post("/generate", json={"steps": 1, "seed": 7})
    assert answer.headers["Fewstep-Precision"] == answer.json()["precision"] == "fp32"
    assert check()["ok"]
    assert stack.scrape("api").get("fewstep_precision_disagreements") == 0
    stack.start("sampler-bf16", FEWSTEP_PRECISION="bf16")
    try:
        wait_until(lambda: not check()["ok"], what="a disagreement")
        said = check()["detail"]
        assert f"-{stack.processes['sampler'].pid}-" in said
        assert re.search(rf"digits/1-step is sampled in bf16 by \S*-{stack.processes['sampler-bf16'].pid}-", said)
        assert stack.scrape("api").get("fewstep_precision_disagreements") >= 4
        assert stack.api.get("/readyz").status_code == 200, "requests are served all the same"
    finally:
        stack.stop("sampler-bf16")
    wait_until(lambda: check()["ok"], what="agreement")


def test_models(stack: Stack) -> None:
    (family,) = [family for family in stack.api.get("/models").json()["models"] if family["name"] == "digits"]
    assert family["default"] is True
    assert family["image_shape"] == [3, 8, 8]
    assert family["parameters"] > 0
    assert family["steps"] == {"1": "1-step", "2": "2-step", "4": "4-step", "8": "8-step"}
    assert "teacher" in family["checkpoints"]
    there = family["checkpoints"]["4-step"]
    assert there["num_steps"] == stack.api.get(there["card"]).json()["num_steps"] == 4


def test_docs_describe_each_media_type_and_error(api: httpx.Client) -> None:
    assert api.get("/docs").status_code == 200
    responses = api.get("/openapi.json").json()["paths"]["/generate"]["post"]["responses"]
    assert set(responses["200"]["content"]) == {
        "application/json",
        "image/png",
        "image/webp",
        "image/jpeg",
        "application/zip",
        "application/x-npy",
    }
    for status in ("400", "404", "406", "413", "415", "422", "503", "504"):
        example = responses[status]["content"]["application/problem+json"]["example"]
        assert example["status"] == int(status)
    assert "HTTPValidationError" not in api.get("/openapi.json").text  # every error is a problem document


def test_metrics_move(stack: Stack) -> None:
    series = {
        "api": 'fewstep_http_request_duration_seconds_count.method="POST",route="/generate",status="200"',
        "sampler": 'fewstep_sampling_seconds_count.model="digits",steps="1"',
    }
    images = 'fewstep_images_generated_total.model="digits",steps="1"'
    before = {name: stack.metric(name, pattern) for name, pattern in series.items()}
    waits, generated = stack.metric("sampler", "fewstep_queue_wait_seconds_count"), stack.metric("sampler", images)
    assert stack.api.post("/generate", json={"steps": 1, "n": 3}).status_code == 200
    wait_until(lambda: all(stack.metric(name, series[name]) == before[name] + 1 for name in series), what="counts")
    assert stack.metric("sampler", "fewstep_queue_wait_seconds_count") == waits + 1
    assert stack.metric("sampler", images) == generated + 3


def test_an_operator_sees_the_device_the_worker_and_redis(stack: Stack) -> None:
    sampler = stack.scrape("sampler")
    assert sampler.get("fewstep_device_peak_flops", device="cpu") > 1e8
    assert (
        0
        < sampler.get("fewstep_device_memory_bytes", kind="used")
        < sampler.get("fewstep_device_memory_bytes", kind="total")
    )
    assert 0 <= sampler.get("fewstep_device_utilization_ratio", device="cpu") <= 1
    assert sampler.get("fewstep_checkpoint_loads_total", outcome="succeeded") >= 4
    assert sampler.get("fewstep_redeliveries_total", queue="sampling") >= 0
    assert not [name for name in sampler.names() if name.startswith("fewstep_distill")]
    assert httpx.get(f"http://127.0.0.1:{stack.ports['sampler']}/healthz").status_code == 200
    api = stack.scrape("api")
    assert api.get("fewstep_redis_up") == 1
    assert api.get("fewstep_workers", queue="sampling") == 1
    assert api.get("fewstep_workers", queue="distillation") == 0


def test_paths_and_methods_of_clients_do_not_become_series(stack: Stack) -> None:
    stack.api.get("/made-up-path")
    stack.api.request("MADEUP", "/livez")
    stack.api.get(f"/generate/{'0' * 32}")
    text = stack.api.get("/metrics").text
    assert "made-up" not in text
    assert "MADEUP" not in text
    assert 'route="/generate/{id}"' in text


def test_the_correlation_id_reaches_the_log_of_the_worker(stack: Stack) -> None:
    response = stack.api.post("/generate", headers={"X-Request-ID": "trace-me.42"})
    assert response.headers["x-request-id"] == "trace-me.42"

    def events(name: str) -> list[str]:
        lines = [json.loads(line) for line in stack.log(name).splitlines() if "trace-me.42" in line]
        assert all(line["request_id"] == "trace-me.42" for line in lines)
        return [line["event"] for line in lines]

    wait_until(lambda: "request" in events("api"), what="the API's line, which comes after its answer")
    wait_until(lambda: "generated" in events("sampler"), what="the worker's line")


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 200, "{}"])
def test_an_unfit_correlation_id_is_replaced(api: httpx.Client, request_id: str) -> None:
    given = api.get("/livez", headers={"X-Request-ID": request_id}).headers["x-request-id"]
    assert given != request_id
    assert given


def test_every_key_in_redis_says_whose_it_is(stack: Stack) -> None:
    accepted = stack.api.post("/generate", headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    with Redis.from_url(stack.redis.url) as redis:
        keys = [text(key) for key in redis.scan_iter()]
    assert keys
    assert all(key.startswith("fewstep:") for key in keys), keys
    location = accepted.headers["location"]
    wait_until(lambda: stack.api.get(location).status_code == 200, what="its picture, which no later test is to count")


@pytest.mark.parametrize("path", ["/generate", "/v1/images/generations"])
def test_a_client_that_left_is_not_sampled_for(stack: Stack, path: str) -> None:
    generated = stack.metric("sampler", "fewstep_images_generated_total")
    left = f'fewstep_http_request_duration_seconds_count.method="POST",route="{path}",status="499"'
    before = stack.metric("api", left)
    rejected = stack.scrape("api").get("fewstep_http_rejections_total", reason="client_left")
    stack.processes["sampler"].freeze()
    try:
        with pytest.raises(httpx.ReadTimeout):
            stack.api.post(path, json={}, timeout=0.5)
        wait_until(lambda: stack.metric("api", left) == before + 1, what="the API noticing")
        assert stack.scrape("api").get("fewstep_http_rejections_total", reason="client_left") == rejected + 1
    finally:
        stack.processes["sampler"].thaw()
    assert stack.api.post("/generate", json={"n": 1}).status_code == 200  # younger, and so after it
    assert stack.metric("sampler", "fewstep_images_generated_total") == generated + 1


def test_a_request_past_its_deadline_is_not_sampled(stack: Stack) -> None:
    cancelled = stack.metric("sampler", 'fewstep_generations_total.outcome="cancelled"')
    assert HASTY_DEADLINE_S < 5
    hasty = stack.hasty
    rejected = stack.scrape("hasty").get("fewstep_http_rejections_total", reason="deadline")
    assert hasty.post("/generate", json={"n": 5000, "steps": 8}).status_code == 504
    assert stack.scrape("hasty").get("fewstep_http_rejections_total", reason="deadline") == rejected + 1
    wait_until(
        lambda: (
            stack.metric("sampler", 'fewstep_generations_total.outcome="cancelled"')
            + stack.metric("sampler", 'fewstep_generations_total.outcome="failed"')
            > cancelled
        ),
        what="the worker giving up",
    )
