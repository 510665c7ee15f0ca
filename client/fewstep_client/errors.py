"""What the service refuses, as exceptions: made of its problem documents (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import httpx


class FewstepError(Exception):
    """Something was refused, failed or did not answer.

    Attributes:
        status: Of the answer; None where there was none.
        field: What of the request is at fault, if that is one field.
        allowed: What it may be, where the service says so: a list, or bounds as ``{"minimum": 1, "maximum": 256}``.
        errors: Each field at fault with ``field``, ``detail`` and ``allowed``, where several may be.
        retry_after: Seconds after which the same request may succeed.
        request_id: By which the logs of the service know it.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        problem = problem or {}
        self.status = status
        self.retry_after = retry_after
        self.field: str | None = problem.get("field")
        self.allowed: Any = problem.get("allowed")
        self.errors: list[dict[str, Any]] = problem.get("errors", [])
        self.request_id: str | None = problem.get("request_id")


class InvalidRequest(FewstepError):
    """It asks for what is not allowed; ``field`` and ``allowed`` say what is."""


class Unauthorized(FewstepError):
    """No key, or one that the service does not know."""


class Forbidden(FewstepError):
    """The key does not allow it."""


class NotFound(FewstepError):
    """There is no such thing."""


class Conflict(FewstepError):
    """Not in the state that things are in."""


class Cancelled(FewstepError):
    """It was called off."""


class TooMany(FewstepError):
    """Too much at once, or more than the key may have."""


class Unavailable(FewstepError):
    """Something that the service needs is away, or it has too much to do."""


class DeadlinePassed(FewstepError):
    """There was no result in time; what is submitted has no deadline."""


class ServiceLost(FewstepError):
    """No answer: a wrong address, a network or a service that is down."""


class JobFailed(FewstepError):
    """A job ended without success; its last state is kept, and a retry goes on from there."""


_KINDS: dict[int, type[FewstepError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Cancelled,
    413: InvalidRequest,
    422: InvalidRequest,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: DeadlinePassed,
}


def error_of(response: httpx.Response) -> FewstepError:
    """The exception that an answer which has been read stands for."""
    status = response.status_code
    try:
        problem = response.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):  # of a proxy, or of no Fewstep at all
        problem, detail = None, f"{response.request.method} {response.request.url.path} was answered {status}"
    after = response.headers.get("Retry-After", "")
    retry_after = float(after) if after.isdecimal() else None
    return _KINDS.get(status, FewstepError)(detail, status=status, retry_after=retry_after, problem=problem)
