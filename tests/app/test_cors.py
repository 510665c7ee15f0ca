"""Pages of other origins, as browsers let them call the API."""

from collections.abc import Iterator

import httpx
import pytest

from app import main
from app.service import ServiceDependency
from core.settings import Settings
from tests.app.conftest import Api
from tests.jobs import make_job
from tests.problems import problem

OURS, ALSO_OURS, THEIRS = "https://app.example", "http://127.0.0.1:3000", "https://evil.example"


@pytest.fixture(scope="module")
def page(_running: Api) -> Iterator[httpx.Client]:
    """A client of an API that lets two origins in; says that it is a page of the first."""
    process, client = _running.start(FEWSTEP_CORS_ORIGINS=f"{OURS}, {ALSO_OURS}")
    client.headers["Origin"] = OURS
    yield client
    client.close()
    process.stop()


def preflight(client: httpx.Client, method: str, path: str, *, headers: str = "content-type", **more: str) -> str:
    """What a browser asks before it sends a request that is not simple; gives the origin that may."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    response = client.options(path, headers=asked | more)
    allowed = response.headers.get("access-control-allow-origin", "")
    if allowed:
        assert response.status_code == 200
        assert method in response.headers["access-control-allow-methods"].split(", ")
        assert response.headers["access-control-allow-headers"] == headers
        assert response.headers["x-request-id"]
    return str(allowed)


def may_read(response: httpx.Response, origin: str = OURS) -> bool:
    """Whether a browser shows an answer and all its headers to the page."""
    headers = response.headers
    exposed = headers.get("access-control-expose-headers") == "*"  # any, since no credentials are let in
    return exposed and headers.get("access-control-allow-origin") in (origin, "*")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/generate", "content-type,prefer,x-request-id"),
        ("DELETE", "/generate/0", "x-request-id"),
        ("POST", "/distill-jobs", "content-type,idempotency-key,traceparent"),
        ("GET", "/distill-jobs/0/events", "last-event-id"),
    ],
)
def test_a_preflight_lets_the_origins_in_that_are_set_and_no_others(
    page: httpx.Client, method: str, path: str, headers: str
) -> None:
    assert preflight(page, method, path, headers=headers) == OURS
    assert preflight(page, method, path, headers=headers, Origin=ALSO_OURS) == ALSO_OURS
    for other in (THEIRS, "https://app.example.evil.example", "http://app.example", "https://app.example:8443", "null"):
        assert preflight(page, method, path, headers=headers, Origin=other) == ""


def test_answers_and_errors_can_be_read_with_all_their_headers(page: httpx.Client, api: Api) -> None:
    accepted = page.post("/generate", json={}, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    assert accepted.headers["location"]
    page.delete(accepted.headers["location"])
    answers = {
        202: accepted,
        200: page.get("/models"),
        404: page.get("/nowhere"),
        405: page.put("/generate"),
        413: page.post("/generate", content=b" " * 65537, headers={"Content-Type": "application/json"}),
        415: page.post("/generate", content=b"{}", headers={"Content-Type": "text/plain"}),
        422: page.post("/generate?n=2"),
        503: page.post("/generate"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert may_read(answer), status
        assert "Origin" in answer.headers["vary"]
    assert not may_read(page.get("/models", headers={"Origin": THEIRS}), THEIRS)
    assert "access-control-allow-origin" not in api.client.get("/models").headers


def test_events_can_be_read_as_they_happen(page: httpx.Client, api: Api) -> None:
    job = make_job()
    api.jobs.create(job, max_active=9)
    api.jobs.cancel(job.id, ttl_s=100)
    with page.stream("GET", f"/distill-jobs/{job.id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert may_read(response)
        assert "cancelled" in response.read().decode()


def test_without_the_setting_no_page_of_another_origin_gets_in(api: Api) -> None:
    assert preflight(api.client, "POST", "/generate", Origin=OURS) == ""
    answer = api.client.get("/models", headers={"Origin": OURS})
    assert not {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.anyio
async def test_an_error_of_ours_can_be_read_and_any_origin_be_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "get_settings", lambda: Settings(cors_origins=["*"]))
    app = main.create_app()

    @app.get("/broken")
    def broken(service: ServiceDependency) -> None:  # there is no service, since nothing was started
        raise AssertionError(service)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/broken", headers={"Origin": THEIRS})
    assert problem(answer, 500)["title"] == "Internal error"
    assert may_read(answer, THEIRS)
