"""What can be asked of the service but for jobs, written once for both clients."""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from fewstep_client.asking import POLL_S, Asking
from fewstep_client.documents import Model, Upload
from fewstep_client.errors import InvalidRequest, ServiceLost
from fewstep_client.images import Images
from fewstep_client.options import GenerateOptions
from fewstep_client.progress import Bar


class Calls(Asking):
    """What the clients' methods do, as coroutines."""

    async def generate(self, options: GenerateOptions) -> Images:
        """Images that are waited for."""
        response = await self.ask("POST", "/generate", body=options, headers={"Accept": "application/zip"})
        return Images.of_zip(response.content, response.headers)

    async def submit(self, options: GenerateOptions, idempotency_key: str | None) -> str:
        """Id of the generation."""
        headers = {"Accept": "application/zip", "Prefer": "respond-async", "Idempotency-Key": key_of(idempotency_key)}
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
                    bar.show(1, f"{len(found)} images")
                    return found
                bar.show(found["progress"], f"{found['status']}, {found['images_done']} of {found['n']} images")
                await self.transport.sleep(POLL_S)

    async def discard(self, generation: str) -> None:
        """Call a generation off, or forget its images."""
        await self.ask("DELETE", f"/generate/{quote(generation, safe='')}")

    async def models(self) -> list[Model]:
        """All families."""
        models: list[Model] = []
        path: str | None = "/models"
        while path:
            page = (await self.ask("GET", path)).json()
            models += map(Model.model_validate, page["models"])
            path = page["next"]
        return models

    async def rollback(self, family: str, steps: int) -> None:
        """Undo a promotion."""
        await self.ask("POST", f"/models/{quote(family, safe='')}/{steps}/rollback", repeatable=False)

    async def download(self, checkpoint: str, path: Path) -> Path:
        """Through a file beside it, so that at ``path`` is all or nothing."""
        partial = path.with_name(f"{path.name}.partial")
        place = f"/models/{quote(checkpoint)}/download"
        try:
            async with self.streamed(place) as response:
                with partial.open("wb") as file:
                    async for chunk in self.transport.chunks(response):
                        file.write(chunk)
            return partial.replace(path)
        except httpx.TransportError as error:
            raise ServiceLost(f"{place} was cut off: {error}") from error
        finally:
            partial.unlink(missing_ok=True)

    async def upload(self, place: str, path: Path, options: Mapping[str, object]) -> Upload:
        """A file, and what a worker makes of it.

        Raises:
            InvalidRequest: It is refused, with the reason.
        """
        with path.open("rb") as file:
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
            headers = {"Content-Length": str(path.stat().st_size), "Content-Digest": f"sha-256=:{digest}:"}
            response = await self.ask("PUT", f"/{quote(place)}{_query(options)}", file=file, headers=headers)
        while (upload := Upload.model_validate(response.json())).state in ("received", "looking"):
            await self.transport.sleep(POLL_S)
            response = await self.ask("GET", self.absolute(upload.links["self"]))
        if upload.state == "refused":
            raise InvalidRequest(f"{place}: {upload.reason}")
        return upload

    async def remove(self, place: str) -> None:
        """Remove an upload."""
        await self.ask("DELETE", f"/{quote(place)}")


def key_of(given: str | None) -> str:
    """An ``Idempotency-Key``, a new one where none is given."""
    return given or uuid.uuid4().hex


def _query(options: Mapping[str, object]) -> str:
    return "?" + urlencode(options) if options else ""
