"""Thousands of images in one request: told how far it is, delivered as one file."""

import io
import signal
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image
from redis import Redis

from models.sampling.engine import Sampler
from tests.e2e.stack import MAX_IMAGES, Stack
from tests.processes import wait_until

N = MAX_IMAGES + 1000
BODY = {"n": N, "steps": 1, "seed": 3}


def submit(api: httpx.Client, accept: str, **body: object) -> str:
    response = api.post("/generate", json=BODY | body, headers={"Prefer": "respond-async", "Accept": accept})
    assert response.status_code == 202, response.text
    assert response.json()["n"] == (BODY | body)["n"]
    return str(response.headers["location"])


def test_an_array_of_more_images_than_one_request_may_wait_for(stack: Stack) -> None:
    location = submit(stack.api, "application/x-npy")
    progress: list[int] = []

    def ended() -> bool:
        response = stack.api.get(location)
        if response.status_code == 202:
            progress.append(response.json()["images_done"])
        return response.status_code != 202

    wait_until(ended, what="the end")
    assert progress == sorted(progress)
    assert any(0 < done < N for done in progress)
    answer = stack.api.get(location)
    assert answer.headers["fewstep-images"] == str(N)
    images = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert images.shape == (N, 8, 8, 3)
    sampler = Sampler(stack.checkpoints / "digits" / "1-step", device="cpu")
    for first in (0, 250, N - 10):
        expected = sampler.sample(seeds=range(3 + first, 3 + first + 10))
        np.testing.assert_array_equal(images[first : first + 10], expected)
    assert stack.api.delete(location).status_code == 204
    with Redis.from_url(stack.redis.url) as redis:
        assert not redis.exists(f"fewstep:generate:pieces:{location.removeprefix('/generate/')}")


def test_a_zip_of_them(stack: Stack) -> None:
    location = submit(stack.api, "application/zip")
    wait_until(lambda: stack.api.get(location).status_code != 202, what="the end")
    archive = zipfile.ZipFile(io.BytesIO(stack.api.get(location).content))
    assert archive.testzip() is None
    assert archive.namelist() == [f"{seed}.png" for seed in range(3, 3 + N)]
    expected = Sampler(stack.checkpoints / "digits" / "1-step", device="cpu").sample(seeds=[3 + 300])[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(archive.read("303.png")))), expected)


def test_cancelled_midway_it_leaves_no_pieces(stack: Stack) -> None:
    location = submit(stack.api, "application/x-npy", steps=8)
    wait_until(lambda: stack.api.get(location).json()["images_done"] > 0, what="the first piece")
    assert stack.api.delete(location).status_code == 204
    wait_until(lambda: stack.metric("sampler", "fewstep_requests_in_hand") == 0, what="given up")
    with Redis.from_url(stack.redis.url) as redis:
        assert not redis.exists(f"fewstep:generate:pieces:{location.removeprefix('/generate/')}")


def test_workers_share_them_and_take_over_from_one_that_dies(stack: Stack) -> None:
    def in_hand(name: str) -> float:
        return stack.metric(name, "fewstep_requests_in_hand")

    stack.start("sampler-second")
    try:
        wait_until(
            lambda: len(stack.api.get("/readyz").json()["checks"]["sampling"]["workers"]) == 2,
            what="both",
        )
        while True:  # one may be faster and take both
            locations = [submit(stack.api, "application/x-npy", steps=2, seed=seed) for seed in (1, 10**6)]
            wait_until(lambda: in_hand("sampler") + in_hand("sampler-second") == 2, what="both at work")
            if in_hand("sampler-second") == 1:
                break
            for location in locations:
                stack.api.delete(location)
            wait_until(lambda: in_hand("sampler") + in_hand("sampler-second") == 0, what="both given up")
        stack.stop("sampler-second", signal.SIGKILL)
        sampler = Sampler(stack.checkpoints / "digits" / "2-step", device="cpu")
        wait_until(lambda: all(stack.api.get(at).status_code != 202 for at in locations), what="the end")
        for location, seed in zip(locations, (1, 10**6), strict=True):
            images = np.load(io.BytesIO(stack.api.get(location).content), allow_pickle=False)
            assert len(images) == N
            np.testing.assert_array_equal(images[-5:], sampler.sample(seeds=range(seed + N - 5, seed + N)))
    finally:
        if "sampler-second" in stack.processes:
            stack.stop("sampler-second")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Accept": "application/zip"}, {}),
        ({"Accept": "application/json", "Prefer": "respond-async"}, {}),
        ({"Accept": "application/zip", "Prefer": "respond-async"}, {"layout": "grid"}),
        ({"Accept": "application/zip", "Prefer": "respond-async"}, {"n": 10_001}),
    ],
)
def test_so_many_only_by_coming_back_and_in_one_file(
    api: httpx.Client, headers: dict[str, str], body: dict[str, object]
) -> None:
    response = api.post("/generate", json=BODY | body, headers=headers)
    assert response.status_code == 422
    assert response.json()["field"] == "n"
    assert response.json()["allowed"]["maximum"] == (10_000 if "n" in body else MAX_IMAGES)
