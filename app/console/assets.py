"""The files of the page: read once, compressed once, and named by what is in all of them together."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Of what is served; other files in the folder are not."""


@dataclass(frozen=True)
class Asset:
    """A file as it is sent.

    Attributes:
        gzipped: The same by gzip.
        etag: Its strong entity tag.
    """

    content: bytes
    gzipped: bytes
    etag: str
    media_type: str


def asset(content: bytes, media_type: str) -> Asset:
    """Content as it is sent."""
    return Asset(content, gzip.compress(content, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:32]}"', media_type)


@cache
def assets() -> Mapping[str, Asset]:
    """Each file by its path below the folder of the page."""
    files = sorted(path for path in PAGE.rglob("*") if path.suffix in MEDIA_TYPES)
    return MappingProxyType(
        {path.relative_to(PAGE).as_posix(): asset(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in files}
    )


@cache
def version() -> str:
    """12 hexadecimal digits that change with any file, so that all may be kept for ever under an address with it."""
    total = hashlib.sha256()
    for name, one in assets().items():
        total.update(f"{name} {one.etag}\n".encode())
    return total.hexdigest()[:12]
