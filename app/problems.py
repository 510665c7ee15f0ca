"""Every error answer: RFC 9457 problem+json, made in one place."""

import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import kombu.exceptions
import redis.exceptions
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.metrics import REJECTIONS
from app.paths import allowed_methods, without_slash
from core.errors import Busy, FewstepError, InvalidRequest, MalformedRequest, Unavailable
from core.log import get_logger
from core.refusals import reason

PROBLEM = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499
"""Nobody reads this status; it tells the metrics that the client left."""
REASONS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    408: "too_slow",
    409: "conflict",
    410: "cancelled",
    413: "too_large",
    431: "too_large",
    429: "too_many",
    503: "unavailable",
    504: "deadline",
}
"""What the metrics call a problem, by status; others are ``invalid`` or ``internal``."""
RETRY_AFTER_S = 5
"""When to try again after something that restarts by itself was away."""

log = get_logger(__name__)


def problem_response(
    problem: Mapping[str, Any],
    request: Request,
    *,
    retry_after: float | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document as the answer to ``request``, completed by its path and correlation id."""
    headers = dict(headers or {})
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    busy = problem["title"] == Busy.title
    REJECTIONS.labels("busy" if busy else reason_of(int(problem["status"]))).inc()
    members = {"instance": request.url.path, "request_id": correlation_id.get()}
    return JSONResponse({**problem, **members}, int(problem["status"]), headers, media_type=PROBLEM)


def refused(request: Request, error: FewstepError) -> JSONResponse:
    """An error of ours as the answer to ``request``."""
    return problem_response(error.problem(), request, retry_after=error.retry_after, headers=dict(error.headers))


def reason_of(status: int) -> str:
    """What the metrics call a problem of this status."""
    return REASONS.get(status, "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal")


def internal_problem(request: Request) -> JSONResponse:
    """The answer to an error of ours: nothing of what happened, but the id to find it in the log."""
    return problem_response(FewstepError("an unexpected error; the log has it under the request_id").problem(), request)


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error with a problem document."""
    app.add_exception_handler(FewstepError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    for kind in (
        redis.exceptions.ConnectionError,
        redis.exceptions.TimeoutError,
        kombu.exceptions.OperationalError,
    ):
        app.add_exception_handler(kind, _no_redis)


def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FewstepError)
    return refused(request, error)


def _no_redis(request: Request, error: Exception) -> JSONResponse:
    log.warning("redis unavailable", error=str(error))
    cause = error.__cause__ if isinstance(error, kombu.exceptions.OperationalError) else error
    return _ours(request, Unavailable(f"Redis {reason(cause)}", retry_after=RETRY_AFTER_S))


def _plain(request: Request, error: Exception) -> Response:
    """What the framework raises itself: no such path or a slash too many, method not allowed, unreadable body."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}: {error.detail or phrase}"
    headers, allowed = dict(error.headers or {}), {}
    if error.status_code == HTTPStatus.NOT_FOUND and (place := without_slash(request)):
        return RedirectResponse(place)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = allowed_methods(request)
        headers["Allow"], allowed = ", ".join(methods), {"allowed": methods}
    problem = {"type": "about:blank", "title": phrase, "status": error.status_code, "detail": detail, **allowed}
    return problem_response(problem, request, headers=headers)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The body or a parameter is not what the schema says: each field with what it allows."""
    assert isinstance(error, RequestValidationError)
    details = error.errors()
    if details[0]["type"] == "json_invalid":
        reason = details[0]["ctx"]["error"]
        return _ours(request, MalformedRequest(f"the body is not JSON: {reason} at character {details[0]['loc'][-1]}"))
    fields = fields_of_body(request)
    errors = [_explain(detail, fields) for detail in details]
    first = errors[0]
    members = {key: value for key, value in first.items() if key == "allowed"}
    summary = "; ".join(f"{item['field']}: {item['detail']}" for item in errors)
    return _ours(request, InvalidRequest(summary, field=first["field"], errors=errors, **members))


def fields_of_body(request: Request) -> dict[str, Any]:
    """Schema of each field of the body that the endpoint takes, of fields within fields under ``outer.inner``."""
    body = getattr(request.scope.get("route"), "body_field", None)
    if body is None:
        return {}
    schema = TypeAdapter(body.field_info.annotation).json_schema()
    return dict(_flat(schema.get("properties", {}), schema.get("$defs", {})))


def _flat(fields: Mapping[str, Any], definitions: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in fields.items():
        yield outer + name, field
        for option in (field, *field.get("anyOf", ())):
            inner = definitions.get(option.get("$ref", "").rpartition("/")[2], {})
            yield from _flat(inner.get("properties", {}), definitions, f"{outer}{name}.")


def _explain(detail: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """One error of pydantic's as ``{field, detail, allowed}``; the schema says what is allowed."""
    location = [str(part) for part in detail["loc"]]
    name = ".".join(location[1:]) or location[0]
    if detail["type"] == "extra_forbidden":
        outer = name.rpartition(".")[0]
        prefix = f"{outer}." if outer else ""
        siblings = [field.removeprefix(prefix) for field in fields if field.rpartition(".")[0] == outer]
        return {"field": name, "detail": "there is no such field", "allowed": siblings}
    explained = {"field": name, "detail": detail["msg"][0].lower() + detail["msg"][1:]}
    if location[0] == "body" and name in fields:
        explained["allowed"] = {key: fields[name][key] for key in fields[name] if key not in ("description", "title")}
    return explained
