"""What ``/docs`` shows: requests that work as they stand, and an answer for each media type and error."""

from typing import Any

from app.generate.answers import PendingResponse
from app.problems import PROBLEM
from core.errors import (
    Cancelled,
    Conflict,
    DeadlinePassed,
    FewstepError,
    Forbidden,
    HeadersTooLarge,
    InvalidRequest,
    MalformedRequest,
    NotAcceptable,
    NotFound,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from core.generation.request import GenerateResponse, MediaType

Responses = dict[int | str, dict[str, Any]]

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "Path of the request"},
        "request_id": {"type": "string", "description": "As in X-Request-ID and in the logs"},
        "field": {"type": "string", "description": "The field or header at fault"},
        "allowed": {"description": "What it may be"},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Each field at fault"},
    },
}
_ID = "0b96f1c0a6d54a1f9a3f4cf0f2f0b6a1"

REQUESTS: dict[str, Any] = {
    "grid": {
        "summary": "Sixteen images in one step; with `Accept: image/png` one picture of all",
        "value": {"model": "digits", "steps": 1, "n": 16, "seed": 7, "format": "png", "layout": "grid"},
    },
    "default": {"summary": "One image with every default", "value": {}},
    "teacher": {
        "summary": "Four images of the teacher in 64 steps, with `Prefer: respond-async`",
        "value": {"checkpoint": "teacher", "steps": 64, "n": 4, "seed": 7},
    },
    "several": {"summary": "Four images by themselves in eight steps", "value": {"steps": 8, "n": 4, "seed": 0}},
}

_DIGIT = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAAAAAA6mKC9AAAA+0lEQVR4nAXBUUvCUBgG4Pc7+/KcjRDCWTTErCwxLA2C6K4f09/o"
    "b3XddVBWUGAyTUwSqwvZdHPq+XoeqMA/uw1tfHezS9qA2OjCSak/UVLrxGtAOIl3zGhq6seFUWcCgMVRf900H1UPWk/TBYgpCcep"
    "0vNpvlJ/X0BYVhONoHl15JWrwS9IQSBe7bLpAXYNCGMJd6/RKMnPay8CiEGwy2QWz1/aYyeXgbGCZS97HgzFNxlEkRVnu6KHb+n5"
    "dREEFpBxosdu+6JsA2XBgNh4QL1Ib1HRsWCQ6E0/pw5P8fmtSFhvzJbiFnzX3H+ESogXmUiptY/0q/3QTyD/3iRvbiHw8F4AAAAA"
    "SUVORK5CYII="
)
_RESULT = {
    "id": _ID,
    "model": "digits",
    "checkpoint": "1-step",
    "steps": 1,
    "n": 1,
    "seed": 7,
    "class_label": None,
    "precision": "fp32",
    "format": "png",
    "layout": "images",
    "images": [{"seed": 7, "data": _DIGIT}],
    "timings": {"queue": 0.0041, "sample": 0.0063, "encode": 0.0004, "total": 0.0109},
}
_PENDING = {
    "id": _ID,
    "status": "queued",
    "queue_position": 2,
    "n": 1,
    "images_done": 0,
    "progress": 0.0,
    "created": "2026-01-01T00:00:00Z",
}
_RESULT_HEADERS = {
    "Fewstep-Id": "Id of the generation",
    "Fewstep-Model": "Model family",
    "Fewstep-Checkpoint": "Checkpoint within the family",
    "Fewstep-Steps": "Sampling steps",
    "Fewstep-Images": "Number of images",
    "Fewstep-Seed": "Seed of the first image; image i has seed + i",
    "Fewstep-Precision": "What the network sampled in: fp32 or bf16",
    "Server-Timing": "Milliseconds: queue, sample, encode, total",
}
_BINARY = {
    MediaType.PNG: "One picture, lossless",
    MediaType.WEBP: "One picture, lossless",
    MediaType.JPEG: "One picture, quality 95",
    MediaType.ZIP: "One file an image, named by its seed",
    MediaType.NPY: "NumPy array of uint8, (n, height, width, channels)",
}


def headers(descriptions: dict[str, str]) -> dict[str, Any]:
    """The documentation of headers by name."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in descriptions.items()}


def problem(error: FewstepError, path: str = "/generate") -> Responses:
    """The documentation of an error answer, made from the error itself."""
    document = {**error.problem(), "instance": path, "request_id": _ID}
    content = {PROBLEM: {"schema": _PROBLEM_SCHEMA, "example": document}}
    return {int(error.status): {"description": error.title, "content": content}}


OF_ANY_ENDPOINT: Responses = {
    **problem(InvalidRequest("n: this endpoint takes nothing from the query", field="n", allowed=[]), "/models"),
    **problem(MalformedRequest("Content-Length announces 7 bytes, and 0 came")),
    **problem(TooSlow("the body was not complete within 30 seconds")),
    **problem(TooLarge("the body may have at most 65536 bytes", allowed={"maximum_bytes": 65536})),
    **problem(
        UnsupportedMediaType(
            "the body must be application/json, not text/plain", field="Content-Type", allowed=["application/json"]
        )
    ),
    **problem(Unauthorized("this takes a key: `Authorization: Bearer KEY`", field="Authorization")),
    **problem(Forbidden("this takes a key of scope distill; that of alice has generate", scope="distill")),
    **problem(TooMany("the key alice may ask 10/second", allowed={"rate": "10/second"})),
    **problem(HeadersTooLarge("path, query and headers may have at most 32768 bytes together")),
    **problem(Unavailable("Redis does not answer")),
}
_UNKNOWN = problem(
    NotFound(f"there is no generation {_ID}; results are kept for 3600 seconds after the end", field="id"),
    f"/generate/{_ID}",
)
_ACCEPTED: dict[str, Any] = {
    "description": "Accepted, or not ended yet",
    "model": PendingResponse,
    "content": {"application/json": {"example": _PENDING}},
    "headers": headers({"Retry-After": "Seconds after which to ask again"}),
}
_OK: dict[str, Any] = {
    "model": GenerateResponse,
    "description": "The images, in the media type that `Accept` prefers",
    "headers": headers(_RESULT_HEADERS),
    "content": {
        MediaType.JSON.value: {"example": _RESULT},
        **{
            kind.value: {"schema": {"type": "string", "format": "binary", "description": text}}
            for kind, text in _BINARY.items()
        },
    },
}

POST_RESPONSES: Responses = {
    200: _OK,
    202: {
        **_ACCEPTED,
        "headers": headers(
            {
                "Location": "Where to poll for the result",
                "Retry-After": "Seconds after which to ask",
                "Preference-Applied": "respond-async",
            }
        ),
    },
    **problem(
        MalformedRequest("the body is not JSON: Expecting property name enclosed in double quotes at character 1")
    ),
    **problem(NotFound("there is no model 'cats'; there are digits", field="model", allowed=["digits"])),
    **problem(
        NotAcceptable(f"there are {', '.join(MediaType)}", field="Accept", allowed=[kind.value for kind in MediaType])
    ),
    **problem(
        InvalidRequest(
            "model 'digits' has no checkpoint for 3 steps; it has 1, 2, 4, 8", field="steps", allowed=[1, 2, 4, 8]
        )
    ),
    **problem(Conflict("the result of this Idempotency-Key has been deleted; use a new one", field="Idempotency-Key")),
    **problem(Unavailable("no sampling worker is there")),
    **problem(DeadlinePassed("there was no result within 60 seconds; `Prefer: respond-async` has no deadline")),
}
GET_RESPONSES: Responses = {
    200: _OK,
    202: _ACCEPTED,
    **_UNKNOWN,
    **problem(Cancelled("the generation was cancelled"), f"/generate/{_ID}"),
}
DELETE_RESPONSES: Responses = {**_UNKNOWN}
CARD_RESPONSES: Responses = problem(
    NotFound(
        "digits has no checkpoint '3-step'; it has teacher, 1-step", field="checkpoint", allowed=["teacher", "1-step"]
    ),
    "/models/digits/3-step",
)
DOWNLOAD_RESPONSES: Responses = {
    200: {
        "description": "A zip of one folder",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
    **CARD_RESPONSES,
}
ROLLBACK_RESPONSES: Responses = {
    **problem(
        NotFound("there is no model 'cats'; there are digits", field="family", allowed=["digits"]),
        "/models/cats/4/rollback",
    ),
    **problem(Conflict("nothing is promoted in digits at 4 steps", field="steps"), "/models/digits/4/rollback"),
}
