"""Asynchronous requests that are sent again under one ``Idempotency-Key``."""

from concurrent.futures import ThreadPoolExecutor

from tests.app.conftest import Api
from tests.generations import start
from tests.problems import problem
from tests.processes import wait_until

LATER = {"Prefer": "respond-async"}
KEY = LATER | {"Idempotency-Key": "k/1"}


def test_twenty_at_once_with_one_key_are_one_generation(api: Api) -> None:
    def attempt(i: int) -> tuple[int, str, str]:
        response = (api.client, api.other)[i % 2].post("/generate", json={"n": 3}, headers=KEY)
        return response.status_code, response.headers["location"], response.json()["id"]

    with ThreadPoolExecutor(20) as threads:
        answers = set(threads.map(attempt, range(20)))
    ((status, location, record_id),) = answers
    assert (status, location) == (202, f"/generate/{record_id}")
    assert len(api.redis.keys("fewstep:generate:record:*")) == 1
    assert api.redis.zcard("fewstep:generate:queued:bulk") == 1


def test_a_key_stands_for_one_request(api: Api) -> None:
    first = api.client.post("/generate", json={"model": "digits"}, headers=KEY).json()
    # The same with a default spelled out, though its seed is drawn; as it stands by now.
    start(api.redis, "w")
    again = api.other.post("/generate", json={"model": "digits", "n": 1}, headers=KEY)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, first["id"], "running")
    for changes, headers in (({"n": 2}, KEY), ({}, KEY | {"Accept": "image/png"})):
        other = api.client.post("/generate", json={"model": "digits"} | changes, headers=headers)
        assert problem(other, 422)["field"] == "Idempotency-Key"
    assert problem(api.client.post("/generate", json={}, headers=LATER | {"Idempotency-Key": "a b"}), 422)
    api.client.delete(f"/generate/{first['id']}")
    assert api.client.post("/generate", json={"model": "digits"}, headers=KEY).json()["status"] == "cancelled"
    api.redis.delete(f"fewstep:generate:record:{first['id']}")
    gone = api.client.post("/generate", json={"model": "digits"}, headers=KEY)
    assert problem(gone, 409)["field"] == "Idempotency-Key"


def test_a_repeat_is_answered_whatever_has_become_of_the_model(api: Api) -> None:
    family = api.folder / "teachers" / "passing"
    family.mkdir()
    (family / "1-step").symlink_to(api.folder / "checkpoints" / "digits" / "1-step")
    asked = {"model": "passing", "steps": 1}

    def status(headers: dict[str, str]) -> int:
        return api.client.post("/generate", json=asked, headers=headers).status_code

    try:
        wait_until(lambda: status(KEY) == 202, what="the model seen")
    finally:
        (family / "1-step").unlink()
        family.rmdir()
    wait_until(lambda: status(LATER) == 404, what="the model gone")
    assert status(KEY) == 202
    assert status(KEY | {"Idempotency-Key": "other"}) == 404
    assert problem(api.client.post("/generate", json=asked | {"n": 2}, headers=KEY), 422)["field"] == "Idempotency-Key"
