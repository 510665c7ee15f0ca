"""The client for asyncio: the methods of `client`, to be awaited."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import httpx

from fewstep_client.asking import settings_of
from fewstep_client.calls import Calls
from fewstep_client.documents import Event, JobDocument, Model, Upload
from fewstep_client.images import Image, Images
from fewstep_client.jobs import DISTILLING, TRAINING, JobCalls
from fewstep_client.options import GenerateOptions
from fewstep_client.transport import Waiting


class AsyncClient:
    """As `Client`; an asynchronous context manager."""

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, retries: int = 5, timeout_s: float = 90
    ) -> None:
        """As of `Client`."""
        self._http = httpx.AsyncClient(**settings_of(url, api_key, timeout_s))
        transport = Waiting(self._http)
        self._calls, self._jobs = Calls(transport, retries=retries), JobCalls(transport, retries=retries)

    async def generate(self, **options: Unpack[GenerateOptions]) -> Images:
        """See `Client.generate`."""
        return await self._calls.generate(options)

    async def submit(
        self, *, idempotency_key: str | None = None, **options: Unpack[GenerateOptions]
    ) -> "AsyncGeneration":
        """See `Client.submit`."""
        return AsyncGeneration(self._calls, await self._calls.submit(options, idempotency_key))

    def generation(self, id: str) -> "AsyncGeneration":
        """See `Client.generation`."""
        return AsyncGeneration(self._calls, id)

    async def models(self) -> list[Model]:
        """See `Client.models`."""
        return await self._calls.models()

    async def download(self, checkpoint: str, path: str | Path) -> Path:
        """See `Client.download`."""
        return await self._calls.download(checkpoint, Path(path))

    async def rollback(self, family: str, steps: int) -> None:
        """See `Client.rollback`."""
        await self._calls.rollback(family, steps)

    async def upload(self, place: str, path: str | Path, **options: object) -> Upload:
        """See `Client.upload`."""
        return await self._calls.upload(place, Path(path), options)

    async def remove(self, place: str) -> None:
        """See `Client.remove`."""
        await self._calls.remove(place)

    async def train(self, kind: str, data: str, *, idempotency_key: str | None = None, **options: object) -> "AsyncJob":
        """See `Client.train`."""
        body = {"kind": kind, "data": data, **options}
        return AsyncJob(self._jobs, await self._jobs.create(TRAINING, body, idempotency_key))

    async def distill(self, teacher: str, *, idempotency_key: str | None = None, **options: object) -> "AsyncJob":
        """See `Client.distill`."""
        body = {"teacher": teacher, **options}
        return AsyncJob(self._jobs, await self._jobs.create(DISTILLING, body, idempotency_key))

    async def job(self, id: str) -> "AsyncJob":
        """See `Client.job`."""
        return AsyncJob(self._jobs, await self._jobs.find(id))

    async def jobs(self, state: str | None = None) -> AsyncIterator["AsyncJob"]:
        """See `Client.jobs`."""
        async with aclosing(self._jobs.jobs(state)) as documents:
            async for document in documents:
                yield AsyncJob(self._jobs, document)

    async def close(self) -> None:
        """See `Client.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncGeneration:
    """As `Generation`."""

    def __init__(self, calls: Calls, id: str) -> None:
        self._calls = calls
        self.id = id

    async def wait(self, *, progress: bool = True) -> Images:
        """See `Generation.wait`."""
        return await self._calls.wait_for_images(self.id, progress=progress)

    async def cancel(self) -> None:
        """See `Generation.cancel`."""
        await self._calls.discard(self.id)


class AsyncJob:
    """As `Job`."""

    def __init__(self, calls: JobCalls, document: JobDocument) -> None:
        self._calls = calls
        self.document = document

    @property
    def id(self) -> str:
        """See `Job.id`."""
        return self.document.id

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return self.document.name

    async def refresh(self) -> JobDocument:
        """See `Job.refresh`."""
        self.document = await self._calls.look(self._path)
        return self.document

    async def wait(self, *, progress: bool = True) -> Self:
        """See `Job.wait`."""
        self.document = await self._calls.wait(self._path, progress=progress)
        return self

    async def events(self, *, after: str = "") -> AsyncIterator[Event]:
        """See `Job.events`."""
        async with aclosing(self._calls.events(self._path, after)) as events:
            async for event in events:
                yield event

    async def samples(self, k: int = 1) -> Image:
        """See `Job.samples`."""
        return await self._calls.samples(self._path, k)

    async def cancel(self) -> None:
        """See `Job.cancel`."""
        self.document = await self._calls.cancel(self._path)

    async def retry(self) -> None:
        """See `Job.retry`."""
        self.document = await self._calls.retry(self._path)

    async def delete(self) -> None:
        """See `Job.delete`."""
        await self._calls.delete(self._path)

    @property
    def _path(self) -> str:
        return self.document.links["self"]

    def __repr__(self) -> str:
        return f"AsyncJob({self.id}, {self.name}: {self.document.state})"
