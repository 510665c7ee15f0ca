"""Class-conditional models over HTTP."""

from typing import Any

import httpx

from models.sampling.engine import Sampler
from tests.e2e.stack import Stack


def test_the_images_are_of_the_class_that_was_asked_for(stack: Stack) -> None:
    sampler = Sampler(stack.checkpoints / "classes" / "1-step", device="cpu")
    for class_label in (None, 0, 2):
        body = {"model": "classes", "steps": 1, "n": 4, "seed": 7, "class_label": class_label}
        response = stack.api.post("/generate", json=body, headers={"Accept": "application/x-npy"})
        assert response.status_code == 200, response.text
        assert response.content.endswith(sampler.sample(seeds=range(7, 11), class_label=class_label).tobytes())


def test_models_tell_their_classes(api: httpx.Client) -> None:
    card: dict[str, Any] = api.get("/models/classes/1-step").json()
    assert card["num_classes"] == 3
    assert api.get("/models/digits/1-step").json()["num_classes"] is None
