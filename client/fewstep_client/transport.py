"""How requests go out and how one waits: blocking or not. Everything else is written once, in `calls`.

The calls are coroutines. Over the blocking transport nothing in them ever waits for a loop, so that `run` has the
result of one at its first step, as of a plain function.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from typing import IO, Any, Protocol, TypeVar

import httpx

T = TypeVar("T")
CHUNK = 2**18
"""Bytes of a file that are read at a time."""


class Transport(Protocol):
    """One of the two."""

    @property
    def http(self) -> httpx.Client | httpx.AsyncClient:
        """What makes requests, with the address and the headers of all."""

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """The answer, read to its end unless it is streamed."""

    def body(self, file: IO[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
        """A file as the body of a request, never held in memory."""

    async def read(self, response: httpx.Response) -> None:
        """Read a streamed one to its end."""

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """Of a streamed one."""

    def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Of a streamed one."""

    async def release(self, response: httpx.Response) -> None:
        """Be done with a streamed one."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Blocking:
    """For threads."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """See `Transport`."""
        return self.http.send(request, stream=stream)

    def body(self, file: IO[bytes]) -> Iterator[bytes]:
        """See `Transport`."""
        return iter(lambda: file.read(CHUNK), b"")

    async def read(self, response: httpx.Response) -> None:
        """See `Transport`."""
        response.read()

    async def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """See `Transport`."""
        for line in response.iter_lines():
            yield line

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Transport`."""
        for chunk in response.iter_bytes():
            yield chunk

    async def release(self, response: httpx.Response) -> None:
        """See `Transport`."""
        response.close()

    async def sleep(self, seconds: float) -> None:
        """See `Transport`."""
        time.sleep(seconds)


class Waiting:
    """For asyncio."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """See `Transport`."""
        return await self.http.send(request, stream=stream)

    async def body(self, file: IO[bytes]) -> AsyncIterator[bytes]:
        """See `Transport`."""
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk

    async def read(self, response: httpx.Response) -> None:
        """See `Transport`."""
        await response.aread()

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """See `Transport`."""
        return response.aiter_lines()

    def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Transport`."""
        return response.aiter_bytes()

    async def release(self, response: httpx.Response) -> None:
        """See `Transport`."""
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """See `Transport`."""
        await asyncio.sleep(seconds)


def run(call: Awaitable[T]) -> T:
    """The result of a call over the blocking transport."""
    try:
        next(call.__await__())
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a call over the blocking transport waited for an event loop")


def iterate(items: AsyncGenerator[T, Any]) -> Iterator[T]:
    """What a stream over the blocking transport gives."""
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())
