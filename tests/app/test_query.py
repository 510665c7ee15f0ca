"""Parameters of a query that an endpoint does not read are refused, wherever that is."""

from typing import Any

import pytest

from tests.app.conftest import Api
from tests.problems import problem

LIST = ["state", "limit", "cursor"]


@pytest.mark.parametrize(
    ("method", "path", "field", "allowed", "words"),
    [
        ("POST", "/generate?n=2", "n", [], "belongs to the body"),
        ("POST", "/generate?size=2", "size", [], "a body as JSON"),
        ("POST", "/generate?n", "n", [], "belongs to the body"),
        ("GET", "/generate/0?wait=1", "wait", [], "nothing from the query"),
        ("DELETE", "/generate/0?wait=1", "wait", [], "nothing from the query"),
        ("POST", "/distill-jobs?teacher=digits/8-step", "teacher", [], "belongs to the body"),
        ("GET", "/distill-jobs?limits=2", "limits", LIST, "there are state, limit, cursor"),
        ("GET", "/distill-jobs/0?full=1", "full", [], "nothing from the query"),
        ("GET", "/distill-jobs/0/events?after=1", "after", [], "nothing from the query"),
        ("POST", "/distill-jobs/0/cancel?now=1", "now", [], "nothing from the query"),
        ("GET", "/models?name=digits", "name", ["limit", "cursor"], "there are limit, cursor"),
        ("GET", "/livez?x=1", "x", [], "nothing from the query"),
        ("GET", "/metrics?name[]=up", "name[]", [], "nothing from the query"),
    ],
)
def test_what_the_endpoint_does_not_read_is_refused(
    api: Api, method: str, path: str, field: str, allowed: list[str], words: str
) -> None:
    document = problem(api.client.request(method, path), 422)
    assert (document["field"], document["allowed"]) == (field, allowed)
    assert words in document["detail"]
    assert document["instance"] == path.partition("?")[0]


def test_every_endpoint_refuses_and_says_so_in_the_docs(api: Api) -> None:
    paths: dict[str, dict[str, Any]] = api.client.get("/openapi.json").json()["paths"]
    endpoints = [(method, path) for path, methods in paths.items() for method in methods]
    assert len(endpoints) > 15
    for method, path in endpoints:
        concrete = path.replace("{steps}", "1").replace("{k}", "1").replace("{", "").replace("}", "")
        response = api.client.request(method, concrete, params={"no-such": "1"})
        assert problem(response, 422)["field"] == "no-such", (method, path)
        assert response.headers["content-type"] in paths[path][method]["responses"]["422"]["content"], (method, path)


def test_each_of_several_is_named_and_what_is_known_is_not(api: Api) -> None:
    document = problem(api.client.get("/distill-jobs?limit=2&page=3&sort=up&page=4"), 422)
    assert [error["field"] for error in document["errors"]] == ["page", "sort"]
    assert api.client.get("/distill-jobs?limit=2&state=running").status_code == 200
    assert api.client.get("/models?").status_code == 200
