"""A folder whose large files are cut into parts, as whoever moves it between machines may need."""

from pathlib import Path

PART_BYTES = 16 * 2**20


def split(out: Path) -> None:
    """Cut every file that is larger than 16 MiB into parts."""
    for file in [file for file in out.rglob("*") if file.is_file() and file.stat().st_size > PART_BYTES]:
        with file.open("rb") as whole:
            for number, part in enumerate(iter(lambda: whole.read(PART_BYTES), b"")):
                file.with_name(f"{file.name}.part{number:03}").write_bytes(part)
        file.unlink()


def join(out: Path) -> None:
    """Put the parts together again."""
    for first in list(out.rglob("*.part000")):
        file = first.with_suffix("")
        parts = sorted(file.parent.glob(f"{file.name}.part*"))
        file.write_bytes(b"".join(part.read_bytes() for part in parts))
        for part in parts:
            part.unlink()
