"""From images to the bytes that the client gets, in the media type it asked for."""

import base64
import io
import time
import zipfile

import numpy as np

from core.generation.request import GeneratedImage, GenerateResponse, Generation, MediaType, Precision, Timings
from models.data.images import Pictures, encode, make_grid


def render(
    images: Pictures, generation: Generation, *, precision: Precision, queue_s: float, sample_s: float
) -> tuple[bytes, Timings]:
    """The document for ``images`` (n, H, W, C) uint8 sampled in ``precision``, and where the time went until now.

    With the layout ``grid`` there is one image: the picture of all of them, under the first seed.
    """
    started = time.perf_counter()
    if generation.layout == "grid":
        images = make_grid(images)[None]
    match generation.media_type:
        case MediaType.NPY:
            document = _npy(images)
        case MediaType.ZIP:
            document = _zip(images, generation)
        case MediaType.JSON:
            encoded = [base64.b64encode(encode(image, generation.format)).decode() for image in images]
            timings = _timings(generation, started, queue_s=queue_s, sample_s=sample_s)
            return _json(encoded, generation, precision, timings), timings
        case _:
            document = encode(images[0], generation.format)
    return document, _timings(generation, started, queue_s=queue_s, sample_s=sample_s)


def _timings(generation: Generation, started: float, *, queue_s: float, sample_s: float) -> Timings:
    return Timings(
        queue=queue_s,
        sample=sample_s,
        encode=time.perf_counter() - started,
        total=max(time.monotonic() - generation.created, 0),
    )


def _json(encoded: list[str], generation: Generation, precision: Precision, timings: Timings) -> bytes:
    images = [GeneratedImage(seed=seed, data=data) for seed, data in zip(generation.seeds, encoded, strict=False)]
    facts = generation.model_dump(include=set(GenerateResponse.model_fields))
    response = GenerateResponse(**facts, precision=precision, images=images, timings=timings)
    return response.model_dump_json().encode()


def _zip(images: Pictures, generation: Generation) -> bytes:
    buffer = io.BytesIO()
    # The images are compressed already.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for seed, image in zip(generation.seeds, images, strict=False):
            name = "grid" if generation.layout == "grid" else str(seed)
            archive.writestr(f"{name}.{generation.format}", encode(image, generation.format))
    return buffer.getvalue()


def _npy(images: Pictures) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, images)
    return buffer.getvalue()
