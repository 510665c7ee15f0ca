"""What happens to a job, told as it happens: server-sent events."""

import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi.sse import ServerSentEvent
from pydantic import WithJsonSchema
from redis.exceptions import RedisError

from app.ending import stopping
from core.errors import InvalidRequest
from core.jobs.record import ENDED, Event
from core.jobs.store import JobStore
from core.log import get_logger

POLL_S = 0.5
HEARTBEAT_S = 10.0
FROM_THE_START = "0"
EVENT_ID_PATTERN = "^([0-9]{1,20})-([0-9]{1,20})$"
EventId = Annotated[str, WithJsonSchema({"type": "string", "pattern": EVENT_ID_PATTERN})]

log = get_logger(__name__)


def parse_event_id(given: str | None) -> str:
    """The event after which to go on.

    Raises:
        InvalidRequest: It is not the id of an event.
    """
    if not given:
        return FROM_THE_START
    match = re.fullmatch(EVENT_ID_PATTERN, given)
    if match is None or any(int(part) >= 2**64 for part in match.groups()):
        raise InvalidRequest(
            "Last-Event-ID must be the id of an event of this stream, such as 1767225600000-0", field="Last-Event-ID"
        )
    return given


async def follow(jobs: JobStore, job_id: str, *, after: str) -> AsyncIterator[ServerSentEvent]:
    """Events after ``after`` until the job has ended and all is told; comments where nothing happens for long.

    Holds neither a connection nor a thread while it waits. Ends also when Redis is lost or the process is to stop,
    upon which a client comes again.
    """
    spoken = time.monotonic()
    while not stopping.is_set():
        try:
            has_ended, events = await to_thread.run_sync(_look, jobs, job_id, after)
        except RedisError as error:
            log.warning("events cut off", job=job_id, error=str(error))
            return
        for event in events:
            yield ServerSentEvent(raw_data=event.data, event=event.kind, id=event.id)
            after = event.id
        if events:
            spoken = time.monotonic()
        elif has_ended:
            return
        elif time.monotonic() - spoken >= HEARTBEAT_S:
            yield ServerSentEvent(comment="still there")
            spoken = time.monotonic()
        if not events:
            await anyio.sleep(POLL_S)


def _look(jobs: JobStore, job_id: str, after: str) -> tuple[bool, list[Event]]:
    # The state first: what happened before the end is then among the events.
    state = jobs.state(job_id)
    return state is None or state in ENDED, jobs.events(job_id, after=after)
