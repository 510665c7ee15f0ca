"""What a client may ask of ``/generate``, what a worker is told to do, and what comes back."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.catalog.card import Family
from core.webhooks.request import GenerationWebhook

MAX_SEED = 2**32 - 1
"""Largest seed: torch's CPU generator knows no more bits, so beyond it different seeds would be the same image."""
MAX_STEPS = 8
"""Of a request that waits for its answer; one that does not and names a checkpoint may have more."""
DEFAULT_STEPS = 4

ImageFormat = Literal["png", "webp", "jpeg"]
Layout = Literal["grid", "images"]
Priority = Literal["interactive", "bulk"]
Precision = Literal["fp32", "bf16"]


class MediaType(StrEnum):
    """What a result can be rendered to."""

    JSON = "application/json"
    PNG = "image/png"
    WEBP = "image/webp"
    JPEG = "image/jpeg"
    ZIP = "application/zip"
    NPY = "application/x-npy"

    @property
    def is_picture(self) -> bool:
        """Whether the document is one picture and nothing else."""
        return self.startswith("image/")


class GenerateRequest(BaseModel):
    """The body of ``POST /generate``; an empty one asks for one image of the default model."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Annotated[
        str | None,
        Field(max_length=200, description="Model family, one of `GET /models`; without it the default model"),
    ] = None
    checkpoint: Annotated[
        str | None,
        Field(
            max_length=200,
            description="A checkpoint of the family by name, such as `teacher`; without it the one that serves `steps`",
        ),
    ] = None
    steps: Annotated[
        int,
        Field(
            ge=1,
            description="Sampling steps, 1 to 8; the family must have a student for them. Where a `checkpoint` is "
            "named, a divisor of its own steps, with `Prefer: respond-async` up to the limit of the service (1024)",
        ),
    ] = DEFAULT_STEPS
    n: Annotated[
        int,
        Field(
            ge=1,
            description="Number of images, up to the limit of the service (256; 10000 with `Prefer: respond-async` and "
            "`Accept: application/zip` or `application/x-npy`)",
        ),
    ] = 1
    seed: Annotated[
        int | None,
        Field(
            ge=0, le=MAX_SEED, description="Seed of the first image; image i has seed + i. Drawn and returned if absent"
        ),
    ] = None
    class_label: Annotated[
        int | None,
        Field(
            ge=0,
            description="Class of all images, for class-conditional models; without it an image's class is its seed "
            "modulo the number of classes",
        ),
    ] = None
    format: Annotated[ImageFormat, Field(description="Image format inside JSON and zip, and for `Accept: image/*`")] = (
        "png"
    )
    layout: Annotated[
        Layout | None,
        Field(description="One picture of all images, or each by itself; a grid by default where one picture is asked"),
    ] = None
    priority: Annotated[
        Priority | None,
        Field(
            description="Interactive requests are sampled before bulk ones. By default a request that waits for its "
            "answer is interactive, and one with `Prefer: respond-async` bulk"
        ),
    ] = None
    webhook: Annotated[
        GenerationWebhook | None, Field(description="Who is to hear how it ended, with `Prefer: respond-async`")
    ] = None


class Generation(BaseModel):
    """A resolved request: all that a worker must know, and what the record keeps.

    Attributes:
        id: 32 hexadecimal digits.
        checkpoint: Its name within the family.
        artifact: Key of its folder in the artifact store, where a job made it; None: it is below a folder of families.
        pieces: Whether the result is stored in pieces as it grows, since there are too many images to hold at once.
        created: When it was accepted: in seconds since the epoch by Redis's clock or, in a worker's hands, by its
            own monotonic clock.
        class_label: Class of all images, or None: the model has no classes, or each image is to have that of its seed.
        deadline: By the same clock, after which nobody waits for the result; ``None`` for an asynchronous one.
        request_id: Correlation id of the HTTP request, for the log lines of the worker.
        trace: The ``traceparent`` of the HTTP request, for the spans of the worker; empty where it is not traced.
        owner: Name of the key that it belongs to; empty where keys were not asked for.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    model: str
    checkpoint: str
    artifact: str | None = None
    steps: int
    n: int
    seed: int
    class_label: int | None = None
    format: ImageFormat
    layout: Layout
    media_type: MediaType
    priority: Priority = "interactive"
    pieces: bool = False
    created: float
    deadline: float | None
    request_id: str
    trace: str = ""
    owner: str = ""

    @property
    def seeds(self) -> range:
        """The seed of each image."""
        return range(self.seed, self.seed + self.n)

    @property
    def group(self) -> str:
        """What it can be sampled together with: those of the same files in as many steps."""
        return f"{self.artifact or f'{self.model}/{self.checkpoint}'} {self.steps}"


class Timings(BaseModel):
    """Where the time went, in seconds."""

    queue: Annotated[float, Field(description="From acceptance until sampling began")]
    sample: Annotated[float, Field(description="Sampling of all images")]
    encode: Annotated[float, Field(description="Encoding of the images")]
    total: Annotated[float, Field(description="From acceptance until the result was ready")]


class GeneratedImage(BaseModel):
    """One encoded image; for layout `grid`, the picture of all of them under the first seed."""

    seed: int
    data: Annotated[str, Field(description="The encoded image in base64")]


class GenerateResponse(BaseModel):
    """The result as JSON."""

    id: str
    model: str
    checkpoint: str
    steps: int
    n: int
    seed: int
    class_label: int | None
    precision: Annotated[
        Precision, Field(description="What the network sampled in; pixels are the same bit by bit within one")
    ]
    format: ImageFormat
    layout: Layout
    images: list[GeneratedImage]
    timings: Timings


def served_steps(family: Family) -> dict[int, str]:
    """The checkpoint for each number of steps that a request may ask for; teachers have more."""
    return {steps: name for steps, name in family.steps.items() if steps <= MAX_STEPS}


def fact_headers(generation: Generation, timings: Timings, *, precision: Precision) -> dict[str, str]:
    """The facts of a result as HTTP headers, for every media type alike."""
    return {
        "Fewstep-Id": generation.id,
        "Fewstep-Model": generation.model,
        "Fewstep-Checkpoint": generation.checkpoint,
        "Fewstep-Steps": str(generation.steps),
        "Fewstep-Images": str(generation.n),
        "Fewstep-Seed": str(generation.seed),
        "Fewstep-Precision": precision,
        "Server-Timing": ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in timings),
    }
