"""A folder as a zip that is made while it is sent."""

import io
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

CHUNK = 1 << 20


class _Pipe(io.RawIOBase):
    """What a zip is written to: it cannot seek, and gives away what it has."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zip_stream(folder: Path, *, top: str) -> Iterator[bytes]:
    """All files below ``folder`` in a zip under the folder ``top``; weights do not compress, so they are stored.

    At no time is more in memory than about a megabyte.
    """
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = ZipInfo.from_file(file, f"{top}/{file.relative_to(folder).as_posix()}", strict_timestamps=False)
            with file.open("rb") as source, archive.open(entry, "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield pipe.take()
    yield pipe.take()
