"""One base class for every error that a user can cause or must be told about."""

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

    def __init__(
        self, detail: str, *, field: str | None = None, retry_after: float | None = None, **extra: object
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after = retry_after
        self.extra = extra


class InvalidRequest(FewstepError):  # noqa: N818 (reads as what the client sent)
    """The request is well-formed but asks for something that is not allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid request"


class NotFound(FewstepError):  # noqa: N818
    """What the request names does not exist."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"
