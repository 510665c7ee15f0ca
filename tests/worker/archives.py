"""Zips for tests, sound ones and such as strangers send."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def zip_of(files: Mapping[str, bytes], path: Path | None = None) -> bytes:
    """A zip with these files, written to a path too if there is one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    if path is not None:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def zip_folder(folder: Path, path: Path, *, top: str = "") -> Path:
    """A zip of a folder, below another one in it if that is named."""
    files = {f"{top}{file.relative_to(folder)}": file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    zip_of(files, path)
    return path


def pictures(count: int = 8, *, seed: int = 0, side: int = 8) -> dict[str, bytes]:
    """PNG files of noise in two classes."""
    random = np.random.default_rng(seed)
    found = {}
    for index in range(count):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
        found[f"{('cat', 'dog')[index % 2]}/{index}.png"] = buffer.getvalue()
    return found
