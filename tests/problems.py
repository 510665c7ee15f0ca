"""Error answers, checked for what each must have."""

from typing import Any

import httpx


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer; below ``/v1`` what OpenAI's shape keeps of it."""
    assert response.status_code == status, response.text
    if "/v1/" in response.request.url.path:
        return _in_openais_shape(response)
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(document)
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    return document


def _in_openais_shape(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["type"] == ("server_error" if response.status_code >= 500 else "invalid_request_error")
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["x-request-id"]
    return error | {"detail": error["message"], "field": error["param"]}
