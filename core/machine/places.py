"""Where this process may write, checked before it takes work that would find out."""

import os
import tempfile
from pathlib import Path

from core.errors import Unavailable
from core.settings import Settings


def prepare_places(settings: Settings, *, caches: bool) -> None:
    """See that there are folders for temporary files and, if it ``caches``, for that; and let libraries know of them.

    Where a machine has none for temporary files (a read-only root, no /tmp), one below ``var`` is taken.

    Raises:
        Unavailable: One cannot be written to; the error names it, and the setting.
    """
    os.environ["FEWSTEP_CACHE"] = str(settings.cache)
    if caches:
        _probe(settings.cache, "FEWSTEP_CACHE")
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = settings.var / "tmp"
        _probe(folder, "FEWSTEP_VAR, since there is no /tmp either")
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def _probe(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written to ({error.strerror}); see {setting}") from error
