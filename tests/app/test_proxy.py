"""Behind a proxy that shows the API below a prefix, by other names and over TLS."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.app.conftest import Api
from tests.jobs import acquire, create, round_of
from tests.problems import problem
from tests.processes import Process, free_port, wait_until

ROOT = "/tools/fewstep"
ASYNC = {"Prefer": "respond-async"}
OUTSIDE = {"Host": "fewstep.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


@pytest.fixture(scope="module", params=["setting", "option of uvicorn"])
def rooted(_running: Api, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """An API below a prefix, said either way."""
    if request.param == "setting":
        process, client = _running.start(FEWSTEP_ROOT_PATH=ROOT)
    else:
        port = free_port()
        module = ("uvicorn", "app.main:app", "--root-path", ROOT, "--port", str(port))
        process = Process(*module, environment=_running.environment, log=_running.folder / "rooted.log")
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        wait_until(lambda: "Uvicorn running on" in process.log.read_text(), what="uvicorn started")
    yield client
    client.close()
    process.stop()


def paths(found: object) -> list[str]:
    """Every path in a document."""
    if isinstance(found, dict):
        return [path for value in found.values() for path in paths(value)]
    if isinstance(found, list):
        return [path for value in found for path in paths(value)]
    return [found] if isinstance(found, str) and found.startswith("/") else []


@pytest.mark.parametrize("shown", ["", ROOT], ids=["prefix taken off", "prefix left"])
def test_paths_in_answers_begin_with_the_prefix_and_lead_back(api: Api, rooted: httpx.Client, shown: str) -> None:
    def ask(method: str, path: str, **more: object) -> httpx.Response:
        return rooted.request(method, shown + path, **more)  # type: ignore[arg-type]

    made = ask("POST", "/generate", json={"n": 2}, headers=ASYNC)
    assert made.status_code == 202
    assert rooted.get(made.headers["location"]).status_code == 202
    job = ask("POST", "/distill-jobs", json={"teacher": "digits/teacher", "method": "pd"})
    assert job.status_code == 202, job.text
    id = job.json()["id"]
    fence = acquire(api.jobs, create(api.jobs))  # another, so that there is a page after the first
    assert fence
    api.jobs.tell(id, api.jobs.acquire(id, 0, "w1", lease_s=60, ttl_s=60) or 0, lease_s=60)
    documents = [
        ask("GET", f"/distill-jobs/{id}").json(),
        ask("GET", "/distill-jobs", params={"limit": 1}).json(),
        ask("GET", "/models").json()["models"][0]["checkpoints"],
        problem(ask("GET", "/nowhere"), 404)["instance"],
        job.headers["location"],
        made.headers["location"],
    ]
    found = paths(documents)
    assert len(found) >= 10
    assert [path for path in found if not path.startswith(f"{ROOT}/")] == []
    for path in documents[1]["jobs"][0]["links"]["self"], documents[1]["next"]:
        assert rooted.get(path).status_code == 200
    assert ask("GET", "/livez").status_code == 200


def test_rounds_and_refusals_name_the_prefix(api: Api, rooted: httpx.Client) -> None:
    job = create(api.jobs)
    fence = acquire(api.jobs, job)
    api.jobs.tell(job.id, fence, lease_s=60, rounds=[round_of(job, 2).model_dump()])
    (round_,) = rooted.get(f"/distill-jobs/{job.id}").json()["finished"]
    assert round_["samples"] == f"{ROOT}/distill-jobs/{job.id}/rounds/1/samples.png"
    assert rooted.get("/openapi.json").json()["servers"] == [{"url": ROOT}]
    assert f"'{ROOT}/openapi.json'" in rooted.get("/docs").text


def test_redirects_name_neither_scheme_nor_host(api: Api, rooted: httpx.Client) -> None:
    for client, root in ((api.client, ""), (rooted, ROOT)):
        for given, place in (
            ("/models/", "/models"),
            ("/distill-jobs/?limit=3&state=queued", "/distill-jobs?limit=3&state=queued"),
            ("/models/a%20b/%C3%A4/", "/models/a%20b/%C3%A4"),
        ):
            response = client.get(given, headers=OUTSIDE)
            assert (response.status_code, response.headers["location"]) == (307, root + place)
        assert client.post("/generate/", headers=OUTSIDE).headers["location"] == f"{root}/generate"
        problem(client.get("/nowhere/"), 404)


def test_405_lists_every_method_of_the_path(api: Api) -> None:
    for path, methods in (
        ("/generate", ["POST"]),
        ("/generate/x", ["GET", "DELETE"]),
        ("/distill-jobs", ["GET", "POST"]),
        ("/distill-jobs/x", ["GET", "DELETE"]),
        ("/models", ["GET"]),
    ):
        response = api.client.patch(path)
        assert problem(response, 405)["allowed"] == methods
        assert response.headers["allow"] == ", ".join(methods)


def test_who_is_trusted_says_whose_request_it_is(api: Api) -> None:
    for trusted, client_of in (("10.0.0.0/8", "127.0.0.1"), ("10.0.0.0/8,127.0.0.1", "203.0.113.7")):
        process, client = api.start(FEWSTEP_TRUSTED_PROXIES=trusted)
        with_client = client.get("/models", headers=OUTSIDE)
        assert with_client.status_code == 200
        client.close()
        process.stop()
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        assert [line["client"] for line in lines if line.get("path") == "/models"] == [client_of]


def test_a_full_address_is_a_path_as_well(api: Api) -> None:
    assert api.client.get("/livez", extensions={"target": b"http://fewstep.example/livez"}).status_code == 200


def test_schema_has_the_pattern_of_keys(api: Api) -> None:
    operation = api.client.get("/openapi.json").json()["paths"]["/distill-jobs"]["post"]
    (key,) = [one for one in operation["parameters"] if one["name"].lower() == "idempotency-key"]
    assert {"type": "string", "pattern": "^[!-~]{1,200}$"} in key["schema"]["anyOf"]
