"""Jobs of all kinds, written once for both clients. One is known by the path that the service gives it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from urllib.parse import quote, urlencode

import httpx

from fewstep_client.asking import PASSING, POLL_S, Asking
from fewstep_client.calls import key_of
from fewstep_client.documents import ENDED, Event, JobDocument, events_of
from fewstep_client.errors import Cancelled, JobFailed, NotFound, ServiceLost
from fewstep_client.images import Image
from fewstep_client.progress import Bar

DISTILLING, TRAINING = "/distill-jobs", "/training-jobs"
OUTAGE_S = 300
"""How long what waits for an end bears a service that does not answer."""


class JobCalls(Asking):
    """What the clients' methods do, as coroutines."""

    async def create(self, place: str, body: Mapping[str, object], idempotency_key: str | None) -> JobDocument:
        """A new job, or the one that the key has made before."""
        headers = {"Idempotency-Key": key_of(idempotency_key)}
        response = await self.ask("POST", place, body=body, headers=headers)
        return JobDocument.model_validate(response.json())

    async def find(self, id: str) -> JobDocument:
        """The job of an id, whatever it makes."""
        try:
            response = await self.ask("GET", f"{DISTILLING}/{quote(id, safe='')}")
        except NotFound:
            response = await self.ask("GET", f"{TRAINING}/{quote(id, safe='')}")
        return JobDocument.model_validate(response.json())

    async def jobs(self, state: str | None) -> AsyncGenerator[JobDocument]:
        """Newest first, page by page, in short."""
        path: str | None = "/jobs" + (f"?{urlencode({'state': state})}" if state else "")
        while path:
            page = (await self.ask("GET", path)).json()
            for one in page["jobs"]:
                yield JobDocument.model_validate(one)
            path = page["next"] and self.absolute(page["next"])

    async def look(self, job: str) -> JobDocument:
        """How it stands."""
        return await self._job("GET", job)

    async def cancel(self, job: str) -> JobDocument:
        """Call it off."""
        return await self._job("POST", f"{job}/cancel")

    async def retry(self, job: str) -> JobDocument:
        """Queue it again."""
        return await self._job("POST", f"{job}/retry", repeatable=False)

    async def delete(self, job: str) -> None:
        """Remove it."""
        await self.ask("DELETE", self.absolute(job))

    async def samples(self, job: str, k: int) -> Image:
        """Of the student of round ``k``, or of a teacher that was trained."""
        what = "samples.png" if f"{TRAINING}/" in job else f"rounds/{k}/samples.png"
        response = await self.ask("GET", self.absolute(f"{job}/{what}"))
        return Image(0, response.content)

    async def _job(self, method: str, path: str, *, repeatable: bool = True) -> JobDocument:
        response = await self.ask(method, self.absolute(path), repeatable=repeatable)
        return JobDocument.model_validate(response.json())

    async def events(self, job: str, after: str) -> AsyncGenerator[Event]:
        """From the one after ``after`` until the job has ended and all is told; over lost connections too."""
        while True:
            told = False
            headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
            try:
                async with (
                    self.streamed(self.absolute(f"{job}/events"), headers) as response,
                    aclosing(events_of(self.transport.lines(response))) as events,
                ):
                    async for event in events:
                        told, after = True, event.id
                        yield event
            except httpx.TransportError:
                told = True  # cut off: there may be more
            if not told and (await self.look(job)).state in ENDED:
                return
            if not told:
                await self.transport.sleep(POLL_S)

    async def wait(self, job: str, *, progress: bool) -> JobDocument:
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
                    document = await self.look(job)
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
            raise Cancelled(f"the job {document.id} was cancelled")
        return document


def _words(document: JobDocument) -> str:
    words = f"{document.state}, round {document.round} of {document.rounds}"
    if document.loss is not None:
        words += f", loss {document.loss:.4g}"
    if document.eta_s is not None:
        words += f", {document.eta_s:.0f} s left"
    return words
