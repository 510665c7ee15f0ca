"""Images over HTTP: in every media type, and the same pixels as without any service."""

import base64
import io
import zipfile
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.data.images import encode, make_grid
from models.sampling.engine import Sampler
from tests.e2e.stack import Stack

Pixels = npt.NDArray[np.uint8]


def post(api: httpx.Client, accept: str = "*/*", **body: Any) -> httpx.Response:  # noqa: ANN401
    response = api.post("/generate", json=body, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    return response


def expected(stack: Stack, seeds: range, steps: int = 4) -> Pixels:
    return Sampler(stack.checkpoints / "digits" / f"{steps}-step", device="cpu").sample(seeds=seeds)


def picture(data: bytes) -> Pixels:
    image = np.asarray(Image.open(io.BytesIO(data)))
    return image[:, :, None] if image.ndim == 2 else image


def test_a_picture_has_the_pixels_of_the_sampler(stack: Stack) -> None:
    response = post(stack.api, "image/png", model="digits", steps=1, n=16, seed=7, format="png", layout="grid")
    assert response.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(picture(response.content), make_grid(expected(stack, range(7, 23), steps=1)))


def test_an_empty_request_gets_every_default_and_the_seed_that_was_drawn(stack: Stack) -> None:
    response = stack.api.post("/generate")
    facts = response.json()
    assert (facts["model"], facts["checkpoint"], facts["steps"], facts["n"]) == ("digits", "4-step", 4, 1)
    assert (facts["format"], facts["layout"]) == ("png", "images")
    assert set(facts["timings"]) == {"queue", "sample", "encode", "total"}
    assert sum(facts["timings"][part] for part in ("queue", "sample", "encode")) <= facts["timings"]["total"] + 0.01
    (image,) = facts["images"]
    assert image["seed"] == facts["seed"]
    pixels = picture(base64.b64decode(image["data"]))
    np.testing.assert_array_equal(pixels, expected(stack, range(facts["seed"], facts["seed"] + 1))[0])


def test_drawn_seeds_differ(api: httpx.Client) -> None:
    assert len({post(api).json()["seed"] for _ in range(3)}) == 3


def test_each_image_has_its_own_seed_and_equals_a_request_for_it_alone(api: httpx.Client) -> None:
    several = post(api, n=3, seed=40, steps=8).json()["images"]
    alone = [post(api, n=1, seed=seed, steps=8).json()["images"][0] for seed in (40, 41, 42)]
    assert several == alone


def test_facts_are_in_headers_for_every_media_type(api: httpx.Client) -> None:
    for accept in ("image/png", "application/zip", "application/x-npy", "application/json"):
        headers = post(api, accept, steps=1, n=2, seed=3).headers
        assert headers["content-type"] == accept
        assert headers["fewstep-model"] == "digits"
        assert headers["fewstep-checkpoint"] == "1-step"
        assert (headers["fewstep-steps"], headers["fewstep-images"], headers["fewstep-seed"]) == ("1", "2", "3")
        assert [part.split(";")[0] for part in headers["server-timing"].split(", ")] == [
            "queue",
            "sample",
            "encode",
            "total",
        ]


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_hold_the_pixels(stack: Stack, image_format: str) -> None:
    pixels = picture(post(stack.api, f"image/{image_format}", seed=5).content)
    np.testing.assert_array_equal(pixels, expected(stack, range(5, 6))[0])


def test_jpeg_is_what_the_encoder_makes(stack: Stack) -> None:
    assert post(stack.api, "image/jpeg", seed=5).content == encode(expected(stack, range(5, 6))[0], "jpeg")


def test_any_image_is_in_the_format_of_the_body(api: httpx.Client) -> None:
    assert post(api, "image/*", format="webp").headers["content-type"] == "image/webp"


def test_zip_has_one_file_an_image(stack: Stack) -> None:
    archive = zipfile.ZipFile(io.BytesIO(post(stack.api, "application/zip", n=3, seed=9).content))
    assert archive.namelist() == ["9.png", "10.png", "11.png"]
    pixels = np.stack([picture(archive.read(name)) for name in archive.namelist()])
    np.testing.assert_array_equal(pixels, expected(stack, range(9, 12)))


def test_npy_is_the_array(stack: Stack) -> None:
    array = np.load(io.BytesIO(post(stack.api, "application/x-npy", n=3, seed=9).content), allow_pickle=False)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, expected(stack, range(9, 12)))


def test_json_with_a_grid_has_one_picture(stack: Stack) -> None:
    (image,) = post(stack.api, "application/json", n=3, seed=9, layout="grid").json()["images"]
    np.testing.assert_array_equal(picture(base64.b64decode(image["data"])), make_grid(expected(stack, range(9, 12))))


def test_a_synchronous_result_is_not_kept(api: httpx.Client) -> None:
    assert api.get(f"/generate/{post(api).json()['id']}").status_code == 404


def test_the_examples_of_the_docs_are_true(api: httpx.Client) -> None:
    content = api.get("/openapi.json").json()["paths"]["/generate"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert examples
    for example in examples.values():
        if "respond-async" in example["summary"]:
            asked = api.post("/generate", json=example["value"], headers={"Prefer": "respond-async"})
            assert asked.status_code == 202, asked.text
        else:
            post(api, **example["value"])
