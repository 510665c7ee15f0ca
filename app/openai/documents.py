"""What OpenAI's clients read: pictures and models."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from core.catalog.card import Family
from core.generation.request import DEFAULT_STEPS, ImageFormat, served_steps

IMAGES_EXAMPLE: dict[str, Any] = {
    "created": 1767225600,
    "data": [{"b64_json": "iVBORw0KGgo…", "seed": 7}],
    "output_format": "png",
    "size": "16x16",
}


class ImageObject(BaseModel):
    """One picture."""

    b64_json: Annotated[str, Field(description="The encoded picture in base64")]
    seed: Annotated[int, Field(description="It is the same for this seed, model and class again; not of OpenAI's")]


class ImagesResponse(BaseModel):
    """Pictures."""

    created: Annotated[int, Field(description="Seconds since 1970")]
    data: list[ImageObject]
    output_format: ImageFormat
    size: Annotated[str, Field(description="Width and height")]


class ModelObject(BaseModel):
    """What pictures can be asked of."""

    id: Annotated[str, Field(description="`family:steps`; `family` alone where it has a student of 4 steps")]
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="Always 0: checkpoints bear no date")] = 0
    owned_by: Literal["fewstep"] = "fewstep"


class ModelsResponse(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


def pictures(result: bytes | str, *, created: float, image_format: ImageFormat, size: str) -> ImagesResponse:
    """The pictures of a result, which is ``GenerateResponse`` as JSON."""
    data = [ImageObject(b64_json=one["data"], seed=one["seed"]) for one in json.loads(result)["images"]]
    return ImagesResponse(created=int(created), data=data, output_format=image_format, size=size)


def models_of(family: Family) -> Iterator[ModelObject]:
    """The names that pictures of a family can be asked by."""
    steps = served_steps(family)
    if DEFAULT_STEPS in steps:
        yield ModelObject(id=family.name)
    yield from (ModelObject(id=f"{family.name}:{number}") for number in steps)
