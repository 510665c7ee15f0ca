"""Requests with their retries, and where the service is."""

import itertools
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx

from fewstep_client.errors import FewstepError, ServiceLost, TooMany, Unavailable, error_of
from fewstep_client.transport import Transport

BACKOFF_S = 0.5
"""Before the first try again; doubled with each, where the service says nothing."""
PATIENCE_S = 60
"""The longest that the service may ask to wait; where it is longer, it is for the caller to decide."""
POLL_S = 1.0
"""Between two looks at what goes on."""
PASSING = (TooMany, Unavailable)
"""What may be otherwise when asked again."""


def settings_of(url: str | None, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Arguments for httpx's clients; what is not given is of the environment."""
    key = api_key or os.environ.get("FEWSTEP_API_KEY")
    return {
        "base_url": url or os.environ.get("FEWSTEP_URL") or "http://127.0.0.1:8000",
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(timeout_s, connect=10),
    }


class Asking:
    """Sends requests over a transport. Errors are those of `fewstep_client.errors`."""

    def __init__(self, transport: Transport, *, retries: int) -> None:
        self.transport = transport
        self._retries = retries

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        file: IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        repeatable: bool = True,
    ) -> httpx.Response:
        """The answer, asked for again where that may help: after what ``Retry-After`` says, else at growing intervals.

        Args:
            method: Of HTTP.
            path: Below the address of the service, or an address in full.
            body: Sent as JSON, if not None.
            file: Sent as it is, from its start.
            headers: Beside the usual ones.
            stream: Whether to leave the body unread.
            repeatable: Whether it does no harm twice. Else it is sent again only if it never arrived.
        """
        for attempt in itertools.count():
            pause = BACKOFF_S * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 (so that not all come at once)
            error: FewstepError
            if file is not None:
                file.seek(0)
            content = None if file is None else self.transport.body(file)
            request = self.transport.http.build_request(method, path, json=body, content=content, headers=headers)
            try:
                response = await self.transport.send(request, stream=stream)
            except httpx.TransportError as lost:
                error = ServiceLost(f"{request.url.copy_with(username=None, password=None)} does not answer: {lost}")
                again = repeatable or isinstance(lost, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                if response.is_success:
                    return response
                if stream:
                    await self.transport.read(response)
                error = error_of(response)
                again = isinstance(error, PASSING) and repeatable
                pause = pause if error.retry_after is None else error.retry_after
            if attempt >= self._retries or not again or pause > PATIENCE_S:
                raise error
            await self.transport.sleep(pause)
        raise AssertionError  # it counts for ever

    @asynccontextmanager
    async def streamed(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx.Response]:
        """The answer to GET, not read yet."""
        response = await self.ask("GET", path, headers=headers, stream=True)
        try:
            yield response
        finally:
            await self.transport.release(response)

    def absolute(self, path: str) -> str:
        """The address of a path of an answer, which begins with what a proxy puts before it."""
        return str(self.transport.http.base_url.join(path))
