"""Examples for ``/docs``: requests that work as they stand, and an answer for each media type and error."""

from typing import Any

PROBLEM = "application/problem+json"

REQUESTS: dict[str, Any] = {
    "grid": {
        "summary": "Sixteen images in one step; with `Accept: image/png` one picture of all",
        "value": {"model": "digits", "steps": 1, "n": 16, "seed": 7, "format": "png", "layout": "grid"},
    },
    "default": {"summary": "One image with every default", "value": {}},
    "several": {"summary": "Four images by themselves, best quality", "value": {"steps": 8, "n": 4, "seed": 0}},
}
POST_RESPONSES: dict[int | str, dict[str, Any]] = {}
GET_RESPONSES: dict[int | str, dict[str, Any]] = {}
DELETE_RESPONSES: dict[int | str, dict[str, Any]] = {}
MODEL_RESPONSES: dict[int | str, dict[str, Any]] = {}
