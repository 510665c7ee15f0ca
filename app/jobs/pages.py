"""Pages of jobs: which come next, and the cursor that says where."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import WithJsonSchema

from app.access.caller import Caller
from core.errors import InvalidRequest
from core.jobs.record import JobRecord, JobState
from core.jobs.store import JobStore

MOST_LISTED = 100
CURSOR_PATTERN = r"^[0-9]{1,12}\.[0-9]{1,9}$"
Cursor = Annotated[str, WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN})]


def matching(
    jobs: JobStore, state: JobState | None, caller: Caller, *, before: float
) -> Iterator[tuple[float, JobRecord]]:
    """A caller's jobs in a state, or in any, newest first, each after the time that a cursor names it by."""
    while page := jobs.page(before=before, count=MOST_LISTED):
        for job_id, before in page:
            record = jobs.read(job_id)
            if record is not None and state in (None, record.state) and caller.sees(record.job.owner):
                yield before, record


def parse_cursor(cursor: str | None) -> float:
    """The time that a cursor names.

    Raises:
        InvalidRequest: It is none of ours.
    """
    if cursor is None:
        return float("inf")
    if not re.fullmatch(CURSOR_PATTERN, cursor):
        raise InvalidRequest("cursor must be one from `next` of a page", field="cursor")
    return float(cursor)
