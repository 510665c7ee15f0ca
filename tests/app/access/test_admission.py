"""Every endpoint that the schema has, for those who may not ask it."""

import re
from typing import Any

import httpx
import pytest

from core import presence
from core.access import edit
from core.access.keys import Scope
from core.queues import Queue
from tests.app.conftest import Api
from tests.app.keyed import Keyed
from tests.problems import problem
from tests.processes import Process, module_of, wait_until
from tests.prometheus import scrape

OPEN = {"/livez", "/readyz", "/metrics"}
"""Of those that the schema has."""


def operations(client: httpx.Client) -> list[tuple[str, str, list[str] | None]]:
    """Method, a path of the kind and what scopes it takes of each endpoint; None: it is open."""
    found = []
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            schemes: list[dict[str, Any]] = operation.get("security", [])
            scopes = [scope for scheme in schemes for scope in scheme["key"]] if schemes else None
            found.append((method.upper(), re.sub(r"\{\w+\}", "1", path), scopes))
    assert len(found) > 20
    return found


def test_every_endpoint_takes_a_key_but_those_that_are_open_by_rule(keyed: Keyed) -> None:
    none, wrong = keyed.client("none"), keyed.client("wrong")
    for method, path, scopes in operations(none):
        assert (scopes is None) == (path in OPEN), path
        if path in OPEN:
            assert none.request(method, path).status_code != 401
            assert wrong.request(method, path).status_code != 401
            continue
        without = none.request(method, path)
        assert problem(without, 401)["field"] == "Authorization"
        assert without.headers["www-authenticate"] == 'Bearer realm="fewstep"'
        forged = wrong.request(method, path)
        problem(forged, 401)
        assert 'error="invalid_token"' in forged.headers["www-authenticate"]
    problem(none.get("/no-such-path"), 401)
    for path in ("/", "/docs", "/openapi.json"):
        assert wrong.get(path).status_code == 200


def test_every_endpoint_refuses_a_key_of_another_scope_before_it_looks_at_the_request(keyed: Keyed) -> None:
    others = {"generate": "dora", "distill": "gina", "admin": "both"}
    asked = set()
    for method, path, scopes in operations(keyed.client("none")):
        for scope in scopes or ():
            asked.add(scope)
            refused = keyed.client(others[scope]).request(method, path)
            assert problem(refused, 403)["scope"] == scope, path
            assert f'error="insufficient_scope", scope="{scope}"' in refused.headers["www-authenticate"]
            assert keyed.client("ada").request(method, path).status_code not in (401, 403)
    assert {"generate", "distill"} <= asked


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic {}", "{}", "Bearer {}x", "Bearer  x {}", "Bearer {} {}", "Bearer ÿ"]
)
def test_what_is_no_key_is_none(keyed: Keyed, header: str) -> None:
    given = header.replace("{}", keyed.secrets["ada"]).encode("latin1")
    problem(httpx.get(f"{keyed.base}/models", headers={b"authorization": given}), 401)
    twice = [("Authorization", f"Bearer {keyed.secrets['ada']}")] * 2
    problem(httpx.get(f"{keyed.base}/models", headers=twice), 401)
    assert httpx.get(f"{keyed.base}/models", headers={"authorization": f"bearer  {keyed.secrets['ada']}"}).is_success


def test_a_key_is_known_a_second_after_it_is_made_and_unknown_after_it_is_revoked(keyed: Keyed) -> None:
    secret = edit.add(keyed.file, "guest", scopes=[Scope.GENERATE])
    with httpx.Client(base_url=keyed.base, headers={"Authorization": f"Bearer {secret}"}) as guest:
        wait_until(lambda: guest.get("/models").status_code == 200, what="the key known")
        kept = keyed.file.read_text()
        keyed.file.write_text("{")  # a hand slipped: nobody is locked out, and nobody let in
        answers = set()
        while "keys as last known" not in keyed.log.read_text():
            answers.add(guest.get("/models").status_code)
        assert answers == {200}
        keyed.file.write_text(kept)
        edit.revoke(keyed.file, "guest")
        wait_until(lambda: guest.get("/models").status_code == 401, what="the key unknown")
        for method, path, scopes in operations(guest):
            if scopes is not None:
                problem(guest.request(method, path), 401)


def test_a_rate_holds_over_all_endpoints_and_says_when_to_ask_again(keyed: Keyed) -> None:
    few = keyed.client("few")
    assert [few.get("/models").status_code for _ in range(3)] == [200, 200, 200]
    for method, path, scopes in operations(keyed.client("none")):
        if scopes is not None:
            refused = few.request(method, path)
            assert problem(refused, 429)["allowed"] == {"rate": "3/day"}
            assert 80_000 < int(refused.headers["retry-after"]) <= 86_400
    assert few.get("/livez").status_code == 200
    assert keyed.client("ada").get("/models").status_code == 200


def test_a_day_has_so_many_images(keyed: Keyed) -> None:
    ten, later = keyed.client("ten"), {"Prefer": "respond-async"}
    assert ten.post("/generate", json={"n": 8}, headers=later).status_code == 202
    refused = ten.post("/generate", json={"n": 3}, headers=later)
    assert problem(refused, 429)["allowed"] == {"images_per_day": 10}
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    problem(ten.post("/generate", json={"n": 1000}, headers=later), 422)  # what is refused counts for nothing
    assert ten.post("/generate", json={"n": 2}, headers=later).status_code == 202
    problem(ten.post("/generate", json={"n": 1}, headers=later), 429)
    assert keyed.client("gina").post("/generate", json={"n": 9}, headers=later).status_code == 202


def test_a_day_has_so_many_seconds_of_training(keyed: Keyed) -> None:
    brief, jobs = keyed.client("brief"), keyed.api.jobs
    body = {"teacher": "digits/teacher", "method": "pd"}
    job = brief.post("/distill-jobs", json=body).json()["id"]
    assert jobs.acquire(job, 0, "w", lease_s=900, ttl_s=900) == 1
    keyed.api.redis.hincrbyfloat(f"fewstep:jobs:record:{job}", "slice_began", -40)
    jobs.release(job, 1)
    other = brief.post("/distill-jobs", json=body)
    assert other.status_code == 202
    assert jobs.acquire(job, 1, "w", lease_s=900, ttl_s=900) == 2
    jobs.tell(job, 2, lease_s=900)
    keyed.api.redis.hincrbyfloat(f"fewstep:jobs:record:{job}", "slice_began", -40)
    jobs.abandon(job, "w", "it is no more")
    refused = brief.post("/distill-jobs", json=body)
    assert problem(refused, 429)["allowed"] == {"training_seconds_per_day": 60}
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    path = other.headers["location"]
    assert brief.post(f"{path}/cancel").status_code == 200
    problem(brief.post(f"{path}/retry"), 429)
    assert keyed.client("dora").post("/distill-jobs", json=body).status_code == 202


def test_requests_are_counted_and_logged_by_the_name_of_their_key_which_stands_nowhere(keyed: Keyed) -> None:
    before = scrape(keyed.base).sum("fewstep_http_requests_by_key_total", key="gina")
    keyed.client("gina").get("/models", headers={"X-Request-ID": "of-gina"})
    keyed.client("wrong").get("/models", headers={"X-Request-ID": "of-nobody"})
    assert scrape(keyed.base).sum("fewstep_http_requests_by_key_total", key="gina") == before + 1
    wait_until(lambda: "of-nobody" in keyed.log.read_text(), what="the lines")
    (line,) = [line for line in keyed.log.read_text().splitlines() if "of-gina" in line]
    assert '"key": "gina"' in line
    everything = keyed.log.read_text() + keyed.file.read_text()
    assert not [name for name, secret in keyed.secrets.items() if secret in everything]


def test_readiness_names_workers_to_those_with_a_key_alone(keyed: Keyed) -> None:
    presence.announce(keyed.api.redis, Queue.SAMPLING, "one", {"host": "h"}, heartbeat_s=60)
    sampling = {"ok": True, "required": True, "detail": "", "workers": {}}
    assert keyed.client("none").get("/readyz").json()["checks"]["sampling"] == sampling
    assert "one" in keyed.client("gina").get("/readyz").json()["checks"]["sampling"]["workers"]


def test_metrics_take_a_key_where_that_is_set(keyed: Keyed) -> None:
    process, client = keyed.api.start(FEWSTEP_API_KEYS_FILE=str(keyed.file), FEWSTEP_OPEN_METRICS="false")
    try:
        problem(client.get("/metrics"), 401)
        for name, status in (("gina", 403), ("ada", 200)):
            key = {"Authorization": f"Bearer {keyed.secrets[name]}"}
            assert client.get("/metrics", headers=key).status_code == status
    finally:
        client.close()
        process.stop()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FEWSTEP_HOST": "0.0.0.0"}, "FEWSTEP_HOST: 0.0.0.0 is reached by others, and there are no keys"),
        ({"FEWSTEP_HOST": "::"}, "FEWSTEP_HOST: :: is reached by others"),
        ({"FEWSTEP_API_KEYS_FILE": "/nowhere/keys.json"}, "/nowhere/keys.json: No such file or directory"),
    ],
)
@pytest.mark.parametrize("name", ["api", "run"])
def test_it_does_not_start_where_it_would_let_everyone_in(
    api: Api, name: str, changes: dict[str, str], words: str
) -> None:
    module = module_of("api") if name == "api" else ["core.local.run"]
    log = api.folder / "refused.log"
    log.unlink(missing_ok=True)
    process = Process(*module, environment=api.environment | changes, log=log)
    wait_until(lambda: not process.alive, what="its end")
    assert process.stop() == 2
    (line,) = log.read_text().splitlines()
    assert line.startswith(words)


def test_it_starts_for_everyone_where_that_is_said(api: Api) -> None:
    process, client = api.start(FEWSTEP_HOST="0.0.0.0", FEWSTEP_ALLOW_ANONYMOUS="true")
    try:
        assert client.get("/models").status_code == 200
    finally:
        client.close()
        process.stop()
