import base64
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.generation.request import GenerateResponse, Generation, MediaType
from models.data.images import Pictures, encode, make_grid
from tests.generations import make_generation
from worker.sampling.render import render

IMAGES: Pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def rendered(images: Pictures = IMAGES, **changes: object) -> tuple[bytes, Generation]:
    generation = make_generation(**{"n": len(images), "seed": 40, **changes})
    document, timings = render(images, generation, precision="bf16", queue_s=0.25, sample_s=0.5)
    assert (timings.queue, timings.sample) == (0.25, 0.5)
    assert timings.encode > 0
    return document, generation


@pytest.mark.parametrize("image_format", ["png", "webp", "jpeg"])
def test_picture(image_format: str) -> None:
    document, _ = rendered(media_type=f"image/{image_format}", format=image_format, layout="grid")
    picture = Image.open(io.BytesIO(document))
    assert picture.format == image_format.upper()
    assert picture.size == make_grid(IMAGES).shape[1::-1]


def test_one_image_is_itself_in_either_layout() -> None:
    one = IMAGES[:1]
    for layout in ("grid", "images"):
        document, _ = rendered(one, media_type=MediaType.PNG, layout=layout)
        assert document == encode(one[0], "png")


def test_json_has_each_image_with_its_seed() -> None:
    document, generation = rendered(media_type=MediaType.JSON)
    response = GenerateResponse.model_validate_json(document)
    assert (response.id, response.precision) == (generation.id, "bf16")
    assert [image.seed for image in response.images] == [40, 41, 42]
    for image, pixels in zip(response.images, IMAGES, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(image.data)))), pixels)
    assert "media_type" not in json.loads(document)


def test_json_grid_has_one_picture_under_the_first_seed() -> None:
    (image,) = json.loads(rendered(media_type=MediaType.JSON, layout="grid")[0])["images"]
    assert image == {"seed": 40, "data": base64.b64encode(encode(make_grid(IMAGES), "png")).decode()}


def test_zip() -> None:
    archive = zipfile.ZipFile(io.BytesIO(rendered(media_type=MediaType.ZIP, format="webp")[0]))
    assert archive.testzip() is None
    assert archive.namelist() == ["40.webp", "41.webp", "42.webp"]
    grid = zipfile.ZipFile(io.BytesIO(rendered(media_type=MediaType.ZIP, layout="grid")[0]))
    assert grid.namelist() == ["grid.png"]


def test_npy() -> None:
    array = np.load(io.BytesIO(rendered(media_type=MediaType.NPY)[0]), allow_pickle=False)
    np.testing.assert_array_equal(array, IMAGES)
    grid = np.load(io.BytesIO(rendered(media_type=MediaType.NPY, layout="grid")[0]), allow_pickle=False)
    np.testing.assert_array_equal(grid, make_grid(IMAGES)[None])
