"""Webhooks as clients ask for them, and the list of what was told."""

from typing import Any

import pytest

from core.webhooks import outbox
from tests.app.conftest import Api
from tests.app.keyed import Keyed
from tests.problems import problem

LATER = {"Prefer": "respond-async"}
URL = "https://app.example/hooks?of=mine"
JOB: dict[str, Any] = {"teacher": "digits/4-step", "method": "pd"}


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"url": "ftp://app.example"}, "webhook.url"),
        ({"url": "app.example"}, "webhook.url"),
        ({"url": "https://user:word@app.example/"}, "webhook.url"),
        ({"url": "https://app.example:0/"}, "webhook.url"),
        ({"url": "https://app.example:port/"}, "webhook.url"),
        ({"url": "https://app.example/a b"}, "webhook.url"),
        ({"url": "https:///path"}, "webhook.url"),
        ({"url": "http://127.0.0.1:6379/"}, "webhook.url"),
        ({"url": "http://[::1]/"}, "webhook.url"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "webhook.url"),
        ({"url": "http://0x7f.1/"}, "webhook.url"),
        ({"url": "http://2130706433/"}, "webhook.url"),
        ({"url": URL, "events": []}, "webhook.events"),
        ({"url": URL, "events": ["done"]}, "webhook.events.0"),
        ({"url": URL, "secret": "x"}, "webhook.secret"),
        ({}, "webhook.url"),
        ("https://app.example", "webhook"),
    ],
    ids=str,
)
def test_what_cannot_be_told_is_refused(keyed: Keyed, webhook: Any, field: str) -> None:  # noqa: ANN401
    both = keyed.client("both")
    for path, body in (("/generate", {}), ("/distill-jobs", JOB)):
        document = problem(both.post(path, json=body | {"webhook": webhook}, headers=LATER), 422)
        assert document["field"] == field
    assert keyed.api.jobs.ids() == []


def test_who_waits_for_the_answer_is_told_by_it(keyed: Keyed) -> None:
    refused = keyed.client("both").post("/generate", json={"webhook": {"url": URL}})
    assert problem(refused, 422)["field"] == "webhook"


def test_a_service_without_a_secret_sends_none(api: Api) -> None:
    for path, body in (("/generate", {}), ("/distill-jobs", JOB)):
        refused = api.client.post(path, json=body | {"webhook": {"url": URL}}, headers=LATER)
        assert problem(refused, 422)["field"] == "webhook"
    assert set(api.client.get("/system").json()["queues"]) == {"sampling", "distillation"}


def test_messages_and_their_attempts_are_listed(keyed: Keyed) -> None:
    both, redis = keyed.client("both"), keyed.api.redis
    for path, body, kind in (("/generate", {}, "generation"), ("/distill-jobs", JOB, "job")):
        accepted = both.post(path, json=body | {"webhook": {"url": URL}}, headers=LATER)
        assert accepted.status_code == 202, accepted.text
        place = accepted.headers["location"]
        assert kind == "generation" or accepted.json()["links"]["deliveries"] == f"{place}/deliveries"
        assert both.get(f"{place}/deliveries").json() == {"deliveries": []}
        assert (both.delete(place) if kind == "generation" else both.post(f"{place}/cancel")).is_success
        (waiting,) = both.get(f"{place}/deliveries").json()["deliveries"]
        assert (waiting["type"], waiting["url"], waiting["state"]) == (f"{kind}.cancelled", URL, "waiting")
        assert waiting["next_attempt"]
        for _ in range(2):
            message = outbox.begin(redis, waiting["id"], lease_s=60)
            assert message is not None
            assert message.path == place
            assert outbox.begin(redis, waiting["id"], lease_s=60) is None  # one at a time has it in hand
            outbox.end(redis, message, "failed", {"seconds": 0.5, "status": 500})
        message = outbox.begin(redis, waiting["id"], lease_s=60)
        assert message is not None
        outbox.end(redis, message, "delivered", {"seconds": 0.1, "status": 200})
        assert outbox.begin(redis, waiting["id"], lease_s=60) is None
        (told,) = both.get(f"{place}/deliveries").json()["deliveries"]
        assert (told["state"], told["next_attempt"]) == ("delivered", None)
        assert [one["status"] for one in told["attempts"]] == [500, 500, 200]
        assert told["attempts"][0]["at"].endswith("Z")


def test_a_service_that_sends_some_shows_what_waits(keyed: Keyed) -> None:
    both = keyed.client("both")
    place = both.post("/generate", json={"webhook": {"url": URL}}, headers=LATER).headers["location"]
    both.delete(place)
    shown = both.get("/system").json()["queues"]["webhooks"]
    assert (shown["waiting"], shown["workers"]) == (1, [])
    checks = both.get("/readyz").json()["checks"]
    assert (checks["webhooks"]["ok"], checks["webhooks"]["required"]) == (False, False)
