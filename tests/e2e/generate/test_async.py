"""`Prefer: respond-async`: accept, poll, fetch, cancel."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from models.sampling.engine import Sampler
from tests.e2e.stack import Stack
from tests.processes import wait_until

ASYNC = {"Prefer": "respond-async"}


@contextmanager
def frozen_sampler(stack: Stack) -> Iterator[None]:
    """Nothing is sampled meanwhile, though the worker is there."""
    stack.processes["sampler"].freeze()
    try:
        yield
    finally:
        stack.processes["sampler"].thaw()


def submit(api: httpx.Client, accept: str = "*/*", **body: object) -> str:
    """Returns the path to poll."""
    response = api.post("/generate", json=body, headers={**ASYNC, "Accept": accept})
    assert response.status_code == 202, response.text
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["preference-applied"] == "respond-async"
    assert response.headers["location"] == f"/generate/{response.json()['id']}"
    return str(response.headers["location"])


def fetch(api: httpx.Client, path: str) -> httpx.Response:
    """Poll until it has ended."""
    wait_until(lambda: api.get(path).status_code != 202, what="end")
    return api.get(path)


def test_the_result_is_what_a_synchronous_request_gets(api: httpx.Client) -> None:
    for accept in ("image/png", "application/x-npy"):
        body = {"n": 3, "seed": 11, "steps": 1}
        result = fetch(api, submit(api, accept, **body))
        assert result.status_code == 200
        assert result.headers["content-type"] == accept
        assert result.headers["fewstep-seed"] == "11"
        assert result.content == api.post("/generate", json=body, headers={"Accept": accept}).content


def test_the_result_can_be_fetched_again(api: httpx.Client) -> None:
    path = submit(api)
    assert fetch(api, path).content == api.get(path).content


def test_pending_requests_show_their_place_in_the_queue(stack: Stack) -> None:
    with frozen_sampler(stack):
        paths = [submit(stack.api) for _ in range(3)]
        pending = [stack.api.get(path) for path in paths]
        assert [response.status_code for response in pending] == [202] * 3
        assert [response.json()["status"] for response in pending] == ["queued"] * 3
        assert [response.json()["queue_position"] for response in pending] == [0, 1, 2]
        assert all("retry-after" in response.headers for response in pending)
    for path in paths:
        assert fetch(stack.api, path).status_code == 200


def test_a_cancelled_request_is_never_sampled(stack: Stack) -> None:
    generated = stack.metric("sampler", "fewstep_images_generated_total")
    with frozen_sampler(stack):
        path = submit(stack.api)
        assert stack.api.delete(path).status_code == 204
        assert stack.api.delete(path).status_code == 204
        assert stack.api.get(path).status_code == 410
    assert stack.api.post("/generate", json={"n": 1}).status_code == 200  # younger, and so after it
    assert stack.metric("sampler", "fewstep_images_generated_total") == generated + 1


def test_cancelling_stops_what_is_being_sampled(stack: Stack) -> None:
    cancelled = stack.metric("sampler", 'fewstep_generations_total.outcome="cancelled"')
    path = submit(stack.api, n=5000, steps=8)
    wait_until(lambda: stack.api.get(path).json()["status"] == "running", what="running")
    started = time.monotonic()
    assert stack.api.delete(path).status_code == 204
    wait_until(lambda: stack.metric("sampler", 'fewstep_generations_total.outcome="cancelled"') == cancelled + 1)
    assert time.monotonic() - started < 10
    assert stack.api.get(path).json()["title"] == "Cancelled"


def test_deleting_a_result_discards_it(api: httpx.Client) -> None:
    path = submit(api)
    assert fetch(api, path).status_code == 200
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 410


def test_a_failure_is_told_to_whoever_polls(stack: Stack) -> None:
    weights = stack.checkpoints / "digits" / "8-step" / "unet" / "diffusion_pytorch_model.safetensors"
    card = stack.checkpoints / "digits" / "8-step" / "card.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    card.touch()
    try:
        result = fetch(stack.api, submit(stack.api, steps=8))
    finally:
        weights.write_bytes(whole)
        card.touch()
    assert result.status_code == 500
    assert result.headers["content-type"] == "application/problem+json"
    assert result.json()["title"] == "Damaged checkpoint"
    assert stack.api.post("/generate", json={"steps": 8}).status_code == 200


def test_a_teacher_in_many_steps_lets_others_pass_and_has_the_pixels_of_the_command_line(stack: Stack) -> None:
    path = submit(stack.api, "application/x-npy", checkpoint="teacher", steps=1024, n=2, seed=3)
    wait_until(lambda: 0 < stack.api.get(path).json()["progress"] < 1, what="the first steps")
    assert stack.api.post("/generate", json={"steps": 1}).status_code == 200
    assert stack.api.get(path).status_code == 202, "the interactive request waited for the end of the long one"
    result = fetch(stack.api, path)
    assert (result.headers["fewstep-checkpoint"], result.headers["fewstep-steps"]) == ("teacher", "1024")
    sampler = Sampler(stack.checkpoints / "digits" / "teacher", device="cpu")
    np.testing.assert_array_equal(np.load(io.BytesIO(result.content)), sampler.sample(seeds=range(3, 5)))

    cancelled = submit(stack.api, checkpoint="teacher", steps=1024, n=256)
    wait_until(lambda: stack.api.get(cancelled).json()["progress"] > 0, what="the first steps")
    assert stack.api.delete(cancelled).status_code == 204
    after = fetch(stack.api, submit(stack.api, checkpoint="teacher", steps=16))
    assert after.status_code == 200
