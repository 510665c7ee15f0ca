"""From ``POST /distill-jobs`` to students that ``/generate`` serves, through API, queue and workers."""

import json
import shutil
import threading
import time
from typing import Any

import httpx
import pytest

from core.catalog.card import SHIPPED_CHECKPOINTS, read_card
from core.catalog.datasets import DIGITS as KNOWN
from models.data.dataset import load_data
from tests.e2e.stack import Stack
from tests.e2e.yard import draw_pictures
from tests.processes import wait_until

DIGITS = SHIPPED_CHECKPOINTS / "digits"
SAMPLES = 64
REQUEST: dict[str, Any] = {
    "teacher": "digits/8-step",
    "to_steps": 2,
    "iterations": 5,
    "batch_size": 16,
    "learning_rate": 1e-6,  # hardly anything is learnt, so that a student is as good as its teacher in as few steps
    "evaluate": {"samples": SAMPLES},
}


@pytest.fixture
def stack(distilling: Stack) -> Stack:
    """The service whose student of 4 steps has forgotten everything."""
    return distilling


class Stream:
    """Requests one after the other from a thread, until told to stop."""

    def __init__(self, api: httpx.Client, body: dict[str, Any]) -> None:
        self.answers: list[tuple[int, str]] = []
        self._api, self._body = api, body
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def serving(self) -> str:
        """Which checkpoint made the last answer."""
        return self.answers[-1][1] if self.answers else ""

    def _run(self) -> None:
        while not self._stop.is_set():
            answer = self._api.post("/generate", json=self._body, headers={"Accept": "image/png"})
            self.answers.append((answer.status_code, answer.headers.get("fewstep-checkpoint", "")))
            time.sleep(0.3)  # or training, which yields to it, would take long


def ended(api: httpx.Client, location: str, state: str = "succeeded") -> dict[str, Any]:
    """The job once it has ended, as said."""
    wait_until(lambda: "retry-after" not in api.get(location).headers, what="the end of the job")
    job: dict[str, Any] = api.get(location).json()
    assert job["state"] == state, job
    return job


def test_a_job_delivers_students_and_the_better_one_takes_its_place_without_a_failure(stack: Stack) -> None:
    api = stack.api
    with Stream(api, {"model": "digits", "steps": 4, "seed": 1}) as stream:
        accepted = api.post("/distill-jobs", json={**REQUEST, "name": "mine", "promote": "if_better"})
        assert accepted.status_code == 202, accepted.text
        job = ended(api, accepted.headers["location"])
        wait_until(lambda: stream.serving == "4-step.mine", what="the promoted student")
        # Served at once, by the very next request, as a family of its own too.
        assert api.post("/generate", json={"model": "mine", "steps": 2}).status_code == 200

        better, worse = job["finished"]
        assert better["steps"] == 4
        assert better["metrics"]["frechet_distance"] < better["rival_frechet_distance"]
        assert worse["steps"] == 2
        assert worse["metrics"]["frechet_distance"] > worse["rival_frechet_distance"], "hardly anything was learnt"
        (digits,) = [family for family in api.get("/models").json()["models"] if family["name"] == "digits"]
        assert digits["steps"] == {"1": "1-step", "2": "2-step", "4": "4-step.mine", "8": "8-step"}
        assert digits["checkpoints"]["4-step.mine"]["parent"] == "digits/8-step"
        picture = api.get(better["samples"])
        assert picture.headers["content-type"] == "image/png"

        assert api.delete(accepted.headers["location"]).status_code == 409
        undone = api.post("/models/digits/4/rollback")
        assert undone.status_code == 200, undone.text
        wait_until(lambda: stream.serving == "4-step", what="the former student")
    assert {status for status, _ in stream.answers} == {200}
    assert {checkpoint for _, checkpoint in stream.answers} == {"4-step", "4-step.mine"}
    assert api.delete(accepted.headers["location"]).status_code == 204
    assert api.post("/generate", json={"model": "mine", "steps": 2}).status_code == 404


def test_events_tell_the_whole_story_again_and_from_where_one_left_off(stack: Stack) -> None:
    accepted = stack.api.post("/distill-jobs", json={**REQUEST, "to_steps": 4, "evaluate": None})
    path = accepted.headers["location"]
    told = events(stack.api, path)
    assert told[0]["event"] == "state"
    assert json.loads(told[-1]["data"]) == {"state": "succeeded"}
    assert {"progress", "saved", "round"} <= {event["event"] for event in told}
    assert events(stack.api, path) == told
    assert events(stack.api, path, after=told[2]["id"]) == told[3:]


def events(api: httpx.Client, path: str, *, after: str | None = None) -> list[dict[str, str]]:
    """All events of a job until its stream ends."""
    headers = {} if after is None else {"Last-Event-ID": after}
    found: list[dict[str, str]] = []
    with api.stream("GET", f"{path}/events", headers=headers, timeout=120) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        block: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                block[name] = value
            elif not line and block:
                found.append(block)
                block = {}
    return found


def test_a_student_is_the_teacher_of_the_next_job_and_needs_no_data(stack: Stack) -> None:
    api = stack.api
    first = {**REQUEST, "to_steps": 4, "evaluate": None, "name": "first"}
    ended(api, api.post("/distill-jobs", json=first).headers["location"])
    second = {**first, "teacher": "first/4-step", "from_steps": 4, "to_steps": 2, "name": "second", "method": "pd"}
    job = ended(api, api.post("/distill-jobs", json={**second, "data": "synthetic"}).headers["location"])
    assert job["finished"][0]["checkpoint"] == "second/2-step"
    card = api.get("/models/second/2-step").json()
    assert card["parent"] == "first/4-step"
    assert card["hyper_parameters"]["synthetic_teacher_sha256"] == api.get("/models/first/4-step").json()["sha256"]


@pytest.mark.parametrize(
    ("changes", "steps", "data"),
    [({"method": "sfd", "loss": "cfd", "to_steps": 3}, 3, None), ({"method": "rdd", "to_steps": 4}, 4, "digits")],
    ids=("sfd", "rdd"),
)
def test_a_job_of_any_method_serves_its_student(
    stack: Stack, changes: dict[str, Any], steps: int, data: str | None
) -> None:
    api, family = stack.api, f"by-{changes['method']}"
    few = {"iterations": 4, "batch_size": 4, "evaluate": {"samples": 20}}
    body = {"teacher": "digits/teacher", "name": family, "promote": "if_better", **few, **changes}
    job = ended(api, api.post("/distill-jobs", json=body).headers["location"])
    assert (job["steps"], job["data"]) == ([steps], data)
    assert job["finished"][0]["metrics"]["num_steps"] == steps
    card = api.get(f"/models/{family}/{steps}-step").json()
    assert (card["method"], card["data"], len(card["rows"])) == (changes["method"], data, steps + 1)
    answer = api.post("/generate", json={"model": family, "steps": steps, "n": 2}, headers={"Accept": "image/png"})
    assert answer.status_code == 200, answer.text


def test_a_job_is_led_away_from_a_worse_teacher(stack: Stack) -> None:
    api, few = stack.api, {"iterations": 1, "batch_size": 4}
    network = {"channels": 32, "multipliers": [1], "blocks": 1}
    worse = {"kind": "teacher", "data": "digits", "name": "worse", **network, **few}
    ended(api, api.post("/training-jobs", json=worse).headers["location"])
    body = {"teacher": "digits/teacher", "to_steps": 4, "method": "pd", "name": "led", "evaluate": None, **few}
    led = api.post("/distill-jobs", json={**body, "guide": "worse/teacher", "guidance": 3}).headers["location"]
    assert api.delete(api.get("/jobs").json()["jobs"][1]["links"]["self"]).status_code == 409, "it is in use"
    job = ended(api, led)
    guide = api.get("/models/worse/teacher").json()["sha256"]
    assert job["guide"]["sha256"] == guide
    facts = api.get("/models/led/4-step").json()["hyper_parameters"]
    assert {"guide": "worse/teacher", "guide_sha256": guide, "guidance": 3}.items() <= facts.items()


def test_data_and_classifiers_that_are_brought_are_listed(stack: Stack) -> None:
    datasets = stack.folder / "var" / "datasets"
    datasets.mkdir(parents=True, exist_ok=True)
    draw_pictures(datasets / "squares")
    shutil.copytree(DIGITS / "classifier", stack.folder / "var" / "classifiers" / "mine")

    def listed() -> dict[str, Any]:
        return {one["name"]: one for one in stack.api.get("/datasets").json()["datasets"]}

    wait_until(lambda: "squares" in listed(), what="the data set")
    assert listed()["squares"]["image_shape"] == [3, 8, 8]
    assert listed()["squares"]["images"] == 64
    assert {"digits/classifier", "digits/judge", "mine"} <= set(stack.api.get("/classifiers").json()["classifiers"])
    refused = stack.api.post("/distill-jobs", json={**REQUEST, "data": "squares"})
    assert refused.status_code == 422
    assert refused.json()["field"] == "data"


def test_what_is_known_of_digits_without_a_worker_is_true() -> None:
    found = load_data("digits")
    assert (KNOWN.image_shape, KNOWN.images, KNOWN.fingerprint) == (
        found.image_shape,
        len(found.images),
        found.fingerprint,
    )
    assert read_card(DIGITS / "8-step").data_fingerprint == KNOWN.fingerprint
