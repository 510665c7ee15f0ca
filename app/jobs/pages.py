"""Pages of jobs: which come next, and the cursor that says where."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated
from urllib.parse import urlencode

from pydantic import WithJsonSchema

from app.access.caller import Caller
from core.errors import InvalidRequest
from core.jobs.record import JobRecord, JobState
from core.jobs.references import JobKind
from core.jobs.store import JobStore

MOST_LISTED = 100
CURSOR_PATTERN = r"^[0-9]{1,12}\.[0-9]{1,9}$"
Cursor = Annotated[str, WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN})]


@dataclass(frozen=True)
class Page:
    """Jobs of a page, and the path of the one after it."""

    records: list[JobRecord]
    following: str | None


def page_of(
    jobs: JobStore,
    caller: Caller,
    *,
    path: str,
    kinds: Container[JobKind],
    state: JobState | None,
    limit: int,
    cursor: str | None,
    **query: str,
) -> Page:
    """A page of a caller's jobs of these kinds, newest first; ``query`` is what else its path has.

    Raises:
        InvalidRequest: The cursor is none of ours.
    """
    # One more than is shown tells whether there is a page after this one.
    all_of_them = _matching(jobs, kinds, state, caller, before=parse_cursor(cursor))
    found = list(islice(all_of_them, limit + 1))
    shown, asked = found[:limit], {"limit": limit} | ({"state": state} if state else {}) | query
    following = f"{path}?{urlencode(asked | {'cursor': shown[-1][0]})}" if len(found) > limit else None
    return Page([record for _, record in shown], following)


def _matching(
    jobs: JobStore, kinds: Container[JobKind], state: JobState | None, caller: Caller, *, before: float
) -> Iterator[tuple[float, JobRecord]]:
    """Each after the time that a cursor names it by."""
    while page := jobs.page(before=before, count=MOST_LISTED):
        for job_id, before in page:
            record = jobs.read(job_id)
            if record is None or record.job.kind not in kinds or state not in (None, record.state):
                continue
            if caller.sees(record.job.owner):
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
