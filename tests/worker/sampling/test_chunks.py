import io
import zipfile

import numpy as np
import pytest

from core.generation.request import MediaType
from models.data.images import Pictures
from tests.generations import make_generation
from worker.sampling.chunks import MAX_CHUNK_BYTES, ChunkedDocument, chunk_images
from worker.sampling.render import render

IMAGES: Pictures = np.random.default_rng(0).integers(0, 256, (7, 8, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("media_type", [MediaType.NPY, MediaType.ZIP])
def test_the_pieces_are_the_document(media_type: MediaType) -> None:
    generation = make_generation(n=7, seed=40, media_type=media_type)
    document = ChunkedDocument(generation, (3, 8, 6))
    chunks = [document.add(range(40 + at, min(40 + at + 3, 47)), IMAGES[at : at + 3]) for at in (0, 3, 6)]
    whole = b"".join([*chunks, document.end()])
    if media_type is MediaType.NPY:
        assert whole == render(IMAGES, generation, precision="fp32", queue_s=0, sample_s=0)[0]
    else:
        archive = zipfile.ZipFile(io.BytesIO(whole))
        assert archive.testzip() is None
        assert archive.namelist() == [f"{seed}.png" for seed in range(40, 47)]


def test_large_images_are_held_by_the_dozen() -> None:
    assert chunk_images((1, 16, 16)) == 256
    assert chunk_images((3, 256, 256)) == MAX_CHUNK_BYTES // (3 * 256 * 256) == 42
    assert chunk_images((3, 4096, 4096)) == 1
