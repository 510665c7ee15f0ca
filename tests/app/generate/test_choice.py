"""Which checkpoint is sampled, and in how many steps."""

from typing import Any

import pytest

from core.generation import records
from tests.app.conftest import Api
from tests.problems import problem

pytestmark = pytest.mark.slow

ASYNC = {"Prefer": "respond-async"}


@pytest.mark.parametrize(
    ("body", "headers", "field", "allowed"),
    [
        ({"checkpoint": "teacher", "steps": 16}, {}, "steps", {"minimum": 1, "maximum": 8}),
        ({"checkpoint": "teacher", "steps": 1025}, ASYNC, "steps", {"minimum": 1, "maximum": 1024}),
        ({"checkpoint": "2-step"}, {}, "steps", [1, 2]),
        ({"steps": 16}, ASYNC, "steps", [1, 2, 4, 8]),
        ({"checkpoint": "teacher", "steps": 16, "n": 257}, ASYNC, "n", {"minimum": 1, "maximum": 256}),
    ],
    ids=["nobody waits so long", "too many", "no divisor", "no checkpoint named", "too many images"],
)
def test_what_cannot_be_sampled_is_refused(
    api: Api, body: dict[str, Any], headers: dict[str, str], field: str, allowed: object
) -> None:
    answer = api.client.post("/generate", json=body, headers=headers | {"Accept": "application/x-npy"})
    told = problem(answer, 422)
    assert (told["field"], told["allowed"]) == (field, allowed)


def test_there_must_be_such_a_checkpoint(api: Api) -> None:
    answer = api.client.post("/generate", json={"checkpoint": "none"})
    assert problem(answer, 404)["field"] == "checkpoint"


def test_a_long_walk_is_bulk_and_tells_its_progress(api: Api) -> None:
    answer = api.client.post(
        "/generate", json={"checkpoint": "teacher", "steps": 64, "priority": "interactive"}, headers=ASYNC
    )
    assert answer.status_code == 202
    assert answer.json()["progress"] == 0
    assert api.redis.zscore(records.QUEUED_BULK, answer.json()["id"])
