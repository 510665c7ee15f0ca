"""Which of Redis's answers mean that it cannot do now what it could before, and that waiting helps.

Decided here for all that is sent to Redis: by the API, by workers and by Celery's transport. Such an answer is raised
as `Refused`, which is a lost connection to whoever does not look closer: clients close the connection, make a new one,
which after a failover leads to the new primary, and try again. Redis refuses a script or a transaction before its first
write or not at all, so trying again never does a thing twice.
"""

import re

from redis._parsers import _AsyncHiredisParser, _HiredisParser
from redis.exceptions import ConnectionError

CODES = {
    "OOM": "its memory is full",
    "NOREPLICAS": "too few of its replicas are there",
    "READONLY": "it is a replica",
    "UNBLOCKED": "it became a replica",
    "MISCONF": "it cannot write to its disk",
    "LOADING": "it loads its data",
    "BUSY": "it is busy with a script",
    "MASTERDOWN": "it is a replica without its primary",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster moves keys",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it has another password",
    "NOPERM": "its user may not do this",
    "DENIED": "it is in protected mode",
}
"""Redis's words for what passes or is mended outside of this process, and ours."""

_CODE = re.compile(
    # As the answer itself, of a transaction, or of a script, whose error Redis 6 wraps in one of its own.
    r"(?:EXECABORT [^:]*: |ERR Error running script .*: -)?"
    rf"({'|'.join(CODES)}) "
)


class Refused(ConnectionError):  # noqa: N818 (what happened)
    """Redis cannot do it now.

    Attributes:
        code: One of ``CODES``.
    """

    def __init__(self, answer: str, code: str) -> None:
        super().__init__(answer, status_code=code)
        self.code = code


def refusal(answer: str) -> Refused | None:
    """The error that an answer of Redis means if it is a refusal for now."""
    found = _CODE.match(answer)
    return Refused(answer, found[1]) if found else None


def reason(error: BaseException | None) -> str:
    """Why Redis is not to be used, in words for a client: nothing of what was sent or where to."""
    return f"refuses for now: {CODES[error.code]} ({error.code})" if isinstance(error, Refused) else "does not answer"


class Parser(_HiredisParser):
    """For connections of threads."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """What is raised for an answer that is an error."""
        return refusal(response) or super().parse_error(response)  # type: ignore[no-untyped-call]


class AsyncParser(_AsyncHiredisParser):
    """For connections of an event loop."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """As of ``Parser``."""
        return refusal(response) or super().parse_error(response)  # type: ignore[no-untyped-call]
