"""One base class for every error that a user can cause or must be told about."""

import re
from collections.abc import Mapping
from http import HTTPStatus


class FewstepError(Exception):
    """An error with a place in the service: the API answers it as RFC 9457 problem+json, the CLI as one line.

    Args:
        detail: One sentence for a human: what is wrong and what is allowed.
        field: The request field or command-line option at fault, if there is one.
        retry_after: Seconds after which the same request may succeed; becomes ``Retry-After``.
        extra: Further members of the problem document, such as ``allowed``.
    """

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    title: str = "Internal error"
    headers: Mapping[str, str] = {}
    """Of the answer, besides those of any problem."""

    def __init__(
        self, detail: str, *, field: str | None = None, retry_after: float | None = None, **extra: object
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after = retry_after
        self.extra = extra

    def problem(self) -> dict[str, object]:
        """The RFC 9457 document, all but what only the HTTP request knows (``instance``, ``request_id``)."""
        slug = re.sub(r"\W+", "-", self.title.lower())
        field = {} if self.field is None else {"field": self.field}
        return {
            "type": f"urn:fewstep:problem:{slug}",
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            **field,
            **self.extra,
        }


class InvalidRequest(FewstepError):  # noqa: N818 (reads as what the client sent)
    """The request is well-formed but asks for something that is not allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid request"


class MalformedRequest(FewstepError):  # noqa: N818
    """The request cannot be read at all."""

    status = HTTPStatus.BAD_REQUEST
    title = "Malformed request"


class NotFound(FewstepError):  # noqa: N818
    """What the request names does not exist."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class NotAcceptable(FewstepError):  # noqa: N818
    """The client accepts no media type that there is."""

    status = HTTPStatus.NOT_ACCEPTABLE
    title = "Not acceptable"


class Unauthorized(FewstepError):  # noqa: N818
    """The request comes without a key that is known."""

    status = HTTPStatus.UNAUTHORIZED
    title = "Unauthorized"
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="fewstep"'}


class UnknownKey(Unauthorized):
    """The request comes with a key, and it is none or none any more."""

    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="fewstep", error="invalid_token"'}


class Forbidden(FewstepError):  # noqa: N818
    """The key may not do this."""

    status = HTTPStatus.FORBIDDEN
    title = "Forbidden"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail, scope=scope)
        self.headers = {"WWW-Authenticate": f'Bearer realm="fewstep", error="insufficient_scope", scope="{scope}"'}


class Conflict(FewstepError):  # noqa: N818
    """The request is sound, but not in the state that things are in."""

    status = HTTPStatus.CONFLICT
    title = "Conflict"


class TooMany(FewstepError):  # noqa: N818
    """As much as may be asked for at once has been asked for already."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many"


class Cancelled(FewstepError):  # noqa: N818
    """The generation was cancelled; its result, if it ever had one, is gone."""

    status = HTTPStatus.GONE
    title = "Cancelled"


class TooLarge(FewstepError):  # noqa: N818
    """The request body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "Body too large"


class HeadersTooLarge(FewstepError):  # noqa: N818
    """What comes before the request body is over the limit."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    title = "Headers too large"


class TooSlow(FewstepError):  # noqa: N818
    """The request was not complete in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    title = "Request too slow"


class UnsupportedMediaType(FewstepError):  # noqa: N818
    """The request body is not JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "Unsupported media type"


class Unavailable(FewstepError):  # noqa: N818
    """Something that the service needs is not there at the moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Unavailable"


class Busy(Unavailable):
    """What was accepted before keeps the workers busy for too long."""

    title = "Busy"


class DeadlinePassed(FewstepError):  # noqa: N818
    """The result was not there in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    title = "Deadline passed"
