"""Generations for tests."""

import time
import uuid
from typing import Any

from core.generation import Generation, MediaType


def make_generation(**changes: Any) -> Generation:  # noqa: ANN401
    """A generation of two images, changed as said."""
    facts = {
        "id": uuid.uuid4().hex,
        "model": "tiny",
        "checkpoint": "4-step",
        "steps": 4,
        "n": 2,
        "seed": 7,
        "format": "png",
        "layout": "images",
        "media_type": MediaType.JSON,
        "created": time.time(),
        "deadline": None,
        "request_id": "abc",
    }
    return Generation.model_validate(facts | changes)
