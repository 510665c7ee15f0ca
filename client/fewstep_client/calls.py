"""Everything that can be asked of the service, written once for both clients."""

import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from fewstep_client.asking import PASSING, Asking
from fewstep_client.documents import ENDED, Event, JobDocument, Model, events_of
from fewstep_client.errors import Cancelled, JobFailed, ServiceLost
from fewstep_client.images import Image, Images
from fewstep_client.options import GenerateOptions
from fewstep_client.progress import Bar

POLL_S = 1.0
OUTAGE_S = 300
"""How long what waits for an end bears a service that does not answer."""


class Calls(Asking):
    """What the clients' methods do, as coroutines."""

    async def generate(self, options: GenerateOptions) -> Images:
        """Images that are waited for."""
        response = await self.ask("POST", "/generate", body=options, headers={"Accept": "application/zip"})
        return Images.of_zip(response.content, response.headers)

    async def submit(self, options: GenerateOptions, idempotency_key: str | None) -> str:
        """Id of the generation."""
        headers = {"Accept": "application/zip", "Prefer": "respond-async", "Idempotency-Key": _key(idempotency_key)}
        response = await self.ask("POST", "/generate", body=options, headers=headers)
        return response.headers["Location"].rpartition("/")[2]

    async def look(self, generation: str) -> Images | dict[str, Any]:
        """The images, or how far they are."""
        response = await self.ask("GET", f"/generate/{quote(generation, safe='')}")
        if response.status_code != httpx.codes.ACCEPTED:
            return Images.of_zip(response.content, response.headers)
        document: dict[str, Any] = response.json()
        return document

    async def wait_for_images(self, generation: str, *, progress: bool) -> Images:
        """Those of a generation, once it has ended."""
        with Bar(wanted=progress) as bar:
            while True:
                found = await self.look(generation)
                if isinstance(found, Images):
                    return found
                bar.show(found["progress"], f"{found['status']}, {found['images_done']} of {found['n']} images")
                await self.transport.sleep(POLL_S)

    async def discard(self, generation: str) -> None:
        """Call a generation off, or forget its images."""
        await self.ask("DELETE", f"/generate/{quote(generation, safe='')}")

    async def models(self) -> list[Model]:
        """All families."""
        return [Model.model_validate(one) for one in (await self.ask("GET", "/models")).json()["models"]]

    async def rollback(self, family: str, steps: int) -> None:
        """Undo a promotion."""
        await self.ask("POST", f"/models/{quote(family, safe='')}/{steps}/rollback", repeatable=False)

    async def download(self, checkpoint: str, path: Path) -> Path:
        """Through a file beside it, so that at ``path`` is all or nothing."""
        partial = path.with_name(f"{path.name}.partial")
        place = f"/models/{quote(checkpoint)}/download"
        async with self.streamed(place) as response:
            try:
                with partial.open("wb") as file:
                    async for chunk in self.transport.chunks(response):
                        file.write(chunk)
            except httpx.TransportError as error:
                raise ServiceLost(f"{place} was cut off: {error}") from error
        return partial.replace(path)

    async def distill(self, body: Mapping[str, object], idempotency_key: str | None) -> JobDocument:
        """A new job, or the one that the key has made before."""
        headers = {"Idempotency-Key": _key(idempotency_key)}
        response = await self.ask("POST", "/distill-jobs", body=body, headers=headers)
        return JobDocument.model_validate(response.json())

    async def job(self, job: str) -> JobDocument:
        """How it stands."""
        return await self._job("GET", job)

    async def cancel(self, job: str) -> JobDocument:
        """Call it off."""
        return await self._job("POST", job, "/cancel")

    async def retry(self, job: str) -> JobDocument:
        """Queue it again."""
        return await self._job("POST", job, "/retry", repeatable=False)

    async def delete(self, job: str) -> None:
        """Remove it."""
        await self.ask("DELETE", _of_job(job))

    async def _job(self, method: str, job: str, what: str = "", *, repeatable: bool = True) -> JobDocument:
        response = await self.ask(method, _of_job(job, what), repeatable=repeatable)
        return JobDocument.model_validate(response.json())

    async def jobs(self, state: str | None) -> AsyncGenerator[JobDocument]:
        """Newest first, page by page."""
        path: str | None = "/distill-jobs" + (f"?state={quote(state)}" if state else "")
        while path:
            page = (await self.ask("GET", path)).json()
            for one in page["jobs"]:
                yield JobDocument.model_validate(one)
            # A path of an answer begins with what a proxy puts before it.
            path = page["next"] and str(self.transport.http.base_url.join(page["next"]))

    async def samples(self, job: str, k: int) -> Image:
        """Of what round ``k`` made."""
        response = await self.ask("GET", _of_job(job, f"/rounds/{k}/samples.png"))
        return Image(0, response.content)

    async def events(self, job: str, after: str) -> AsyncGenerator[Event]:
        """From the one after ``after`` until the job has ended and all is told; over lost connections too."""
        while True:
            told = False
            headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
            try:
                async with (
                    self.streamed(_of_job(job, "/events"), headers) as response,
                    aclosing(events_of(self.transport.lines(response))) as events,
                ):
                    async for event in events:
                        told, after = True, event.id
                        yield event
            except httpx.TransportError:
                told = True  # cut off: there may be more
            if not told and (await self.job(job)).state in ENDED:
                return
            if not told:
                await self.transport.sleep(POLL_S)

    async def wait_for_job(self, job: str, *, progress: bool) -> JobDocument:
        """Its end.

        Raises:
            JobFailed: It failed; with the problem's words, ``field`` and ``allowed``.
            Cancelled: It was called off.
            ServiceLost: Nothing was heard of the service for five minutes.
        """
        silent_s = 0.0
        with Bar(wanted=progress) as bar:
            while True:
                try:
                    document = await self.job(job)
                    silent_s = 0
                except (ServiceLost, *PASSING) as error:
                    if (silent_s := silent_s + (error.retry_after or POLL_S)) > OUTAGE_S:
                        raise
                    bar.show(0, f"{error}")
                    await self.transport.sleep(error.retry_after or POLL_S)
                    continue
                bar.show(document.progress, _words(document))
                if document.state in ENDED:
                    break
                await self.transport.sleep(POLL_S)
        if document.state == "failed":
            problem = document.error or {}
            raise JobFailed(problem.get("detail", "the job failed"), status=problem.get("status"), problem=problem)
        if document.state == "cancelled":
            raise Cancelled(f"the job {job} was cancelled")
        return document


def _key(given: str | None) -> str:
    return given or uuid.uuid4().hex


def _of_job(job: str, what: str = "") -> str:
    return f"/distill-jobs/{quote(job, safe='')}{what}"


def _words(document: JobDocument) -> str:
    words = f"{document.state}, round {document.round} of {document.rounds}"
    if document.loss is not None:
        words += f", loss {document.loss:.4g}"
    if document.eta_s is not None:
        words += f", {document.eta_s:.0f} s left"
    return words
