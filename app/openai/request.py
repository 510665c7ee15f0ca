"""What OpenAI's clients ask for, as a request for ``/generate``."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.generate.choice import choose_checkpoint
from core.catalog.card import Card, Family
from core.errors import InvalidRequest
from core.generation.request import DEFAULT_STEPS, MAX_SEED, GenerateRequest, ImageFormat

AUTO = "auto"


def _refuse_addresses(given: object) -> object:
    if given == "url":
        reason = "pictures are in the answer and kept nowhere, so that no address leads to them; ask for b64_json"
        raise PydanticCustomError("no_url", reason)
    return given


class ImagesRequest(BaseModel):
    """The body of ``POST /v1/images/generations``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: Annotated[
        str,
        Field(
            max_length=32_000,
            description="The class of all images, by name or number, where the model has classes; empty: an image's "
            "class is its seed modulo their number. For other models a note that changes nothing",
        ),
    ] = ""
    model: Annotated[
        str | None,
        Field(max_length=200, description="`family` or `family:steps`, one of `GET /v1/models`"),
    ] = None
    n: Annotated[int, Field(ge=1, description="Number of images, up to the limit of the service (256)")] = 1
    size: Annotated[
        str, Field(max_length=20, description="`auto`, or the width and height that the model's images have: `16x16`")
    ] = AUTO
    response_format: Annotated[
        Literal["b64_json"], BeforeValidator(_refuse_addresses), Field(description="Pictures are in the answer")
    ] = "b64_json"
    output_format: Annotated[ImageFormat, Field(description="Format of the pictures")] = "png"
    user: Annotated[str | None, Field(max_length=200, description="A note that changes nothing")] = None
    steps: Annotated[
        int | None, Field(ge=1, description=f"Sampling steps, where `model` names none; else {DEFAULT_STEPS}")
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=MAX_SEED, description="Seed of the first image; image i has seed + i. Drawn if absent"),
    ] = None


def split_model(model: str, families: Collection[str]) -> tuple[str, int | None]:
    """Family and steps of a model's name; no steps where it names none.

    A family whose own name looks as if it named steps is taken by that name.
    """
    family, colon, steps = model.rpartition(":")
    if model in families or not colon or not (steps.isascii() and steps.isdecimal()):
        return model, None
    return family, int(steps)


def to_generate(asked: ImagesRequest, family: Family, named: int | None) -> GenerateRequest:
    """The same request for ``/generate``; ``named`` are the steps that the model's name has.

    Raises:
        InvalidRequest: Of the steps, the size or the class it asks for what the family has not.
    """
    if None not in (named, asked.steps) and named != asked.steps:
        raise InvalidRequest(f"model names {named} steps, and steps says {asked.steps}", field="steps", allowed=[named])
    plain = GenerateRequest(
        model=family.name,
        steps=named or asked.steps or DEFAULT_STEPS,
        n=asked.n,
        seed=asked.seed,
        format=asked.output_format,
        layout="images",
    )
    card = family.cards[choose_checkpoint(family, plain, asynchronous=False, most=plain.steps)]
    if asked.size not in (AUTO, size := size_of(card)):
        allowed = [AUTO, size]
        raise InvalidRequest(f"images of {family.name} are {size}", field="size", allowed=allowed)
    return plain.model_copy(update={"class_label": _class_of(asked.prompt, card)})


def size_of(card: Card) -> str:
    """Width and height of its images, as OpenAI writes them."""
    _, height, width = card.image_shape
    return f"{width}x{height}"


def _class_of(prompt: str, card: Card) -> int | None:
    """The class that a prompt names; None: it names none, or the model has none."""
    if card.num_classes is None or not (asked := prompt.strip().casefold()):
        return None
    numbers: dict[str, int] = {str(label): label for label in range(card.num_classes)}
    names: dict[str, int] = {name.casefold(): label for label, name in enumerate(card.class_names or ())}
    label = (numbers | names).get(asked)
    if label is None:
        allowed: list[Any] = list(card.class_names or numbers)
        listed = ", ".join(allowed[:12]) + (", …" if len(allowed) > 12 else "")
        detail = f"prompt names one of the model's {card.num_classes} classes ({listed}), or is empty"
        raise InvalidRequest(detail, field="prompt", allowed=allowed)
    return label
