"""A body of any size, on its way from the client to the artifact store by way of a file without a name."""

import asyncio
import hashlib
import re
import tempfile
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from app.service import Service
from core.errors import FewstepError, InvalidRequest, MalformedRequest, TooLarge, TooSlow, Unavailable
from core.settings import Settings

PIECE = 1 << 20
"""Bytes that are in memory."""
LINGER_S, LINGER_BYTES = 2.0, 64 << 20
"""For so long and so much a client is listened to that is refused while it sends, so that it hears why."""
DIGESTS = ("Content-Digest", "Repr-Digest")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?=;|,|$)")


@dataclass
class Received:
    """What has come.

    Attributes:
        path: By which the file can be opened for as long as it is there.
    """

    path: Path
    size: int
    sha256: str


def expected_digest(request: Request) -> str | None:
    """The SHA-256 that the client says its file has, in hexadecimal, by RFC 9530; None if it says nothing.

    Raises:
        InvalidRequest: It says so in no way that is understood.
    """
    for header in DIGESTS:
        if (given := request.headers.get(header)) is None:
            continue
        found = _DIGEST.search(given)
        digest = b""
        if found is not None:
            with suppress(NotBase64):
                digest = b64decode(found[1], validate=True)
        if len(digest) != hashlib.sha256().digest_size:
            raise InvalidRequest(
                f"{header} must have a sha-256, as RFC 9530 writes it", field=header, allowed=["sha-256=:BASE64:"]
            )
        return digest.hex()
    return None


@asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[Received]:
    """The body of a request, whole and as its client says that it is; nothing is left of it afterwards.

    Raises:
        ClientDisconnect: The client left.
        FewstepError: It is empty, too large, too slow, or another than the client says; or there is no room.
    """
    expected, settings = expected_digest(request), service.settings
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("send the file as it is", field="Content-Encoding", allowed=["identity"])
    _refuse_size(int(request.headers.get("content-length", 0)), settings)
    with _spool(settings.var / "incoming") as file:
        size, digest = await _write(request, file, settings)
        if not size:
            raise InvalidRequest("the body is empty; it must be the file")
        if expected not in (None, digest):
            header = next(header for header in DIGESTS if header in request.headers)
            raise InvalidRequest(f"the {size} bytes that came have the SHA-256 {digest}", field=header)
        file.seek(0)  # who opens it by its number goes on from there, on some systems
        yield Received(Path(f"/dev/fd/{file.fileno()}"), size, digest)


async def linger(request: Request) -> None:
    """Listen on for a little: a connection that is closed at once may take the answer with it."""
    size = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(LINGER_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > LINGER_BYTES:
                    return


def _spool(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise no_room(error) from error


async def _write(request: Request, file: IO[bytes], settings: Settings) -> tuple[int, str]:
    """Write the body to the file; its size and SHA-256."""
    digest, piece, size = hashlib.sha256(), bytearray(), 0

    def put() -> None:
        digest.update(piece)
        file.write(piece)
        piece.clear()

    chunks = request.stream()
    try:
        while True:
            try:
                async with asyncio.timeout(settings.body_timeout_s):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise TooSlow(f"nothing came for {settings.body_timeout_s:g} seconds") from None
            if chunk is None:
                break
            size += len(chunk)
            _refuse_size(size, settings)
            piece += chunk
            if len(piece) >= PIECE:
                await run_in_threadpool(put)
        await run_in_threadpool(put)
        await run_in_threadpool(file.flush)
    except OSError as error:
        raise no_room(error) from error
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) != size:
        raise MalformedRequest(f"Content-Length announces {declared} bytes, and {size} came")
    return size, digest.hexdigest()


def _refuse_size(size: int, settings: Settings) -> None:
    if size > (most := settings.max_upload_bytes):
        raise TooLarge(f"an upload may have at most {most} bytes", allowed={"maximum_bytes": most})


def no_room(error: OSError) -> FewstepError:
    """The error where an upload cannot be written."""
    return Unavailable(f"the upload cannot be kept ({error.strerror or error})", retry_after=60)
