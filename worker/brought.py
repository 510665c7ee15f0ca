"""Where on this machine a data set lies, and how it is read."""

from pathlib import Path
from typing import TypedDict

from core.catalog.artifacts import ArtifactStore
from core.catalog.datasets import DataRef
from core.errors import InvalidRequest
from core.settings import Settings
from models.checkpoints.files import sha256 as sha256_of
from models.data.parquet_files import ALL_FOUND, Columns


class DataSource(TypedDict):
    """How ``models.data.dataset.load_data`` is called for a data set."""

    data: str
    size: int | None
    columns: Columns


def data_source(name: str, reference: DataRef | None, settings: Settings, artifacts: ArtifactStore) -> DataSource:
    """Where a data set is, and how it is read: an uploaded one, one of the folder, or ``digits``.

    Raises:
        NotFound: The upload is not there any more.
        InvalidRequest: It is damaged.
    """
    if reference is None:
        path = settings.datasets / name
        return DataSource(data=str(path) if path.exists() else name, size=None, columns=ALL_FOUND)
    folder, _, file = reference.artifact.rpartition("/")
    path = artifacts.folder(folder) / file
    verify_file(path, reference.sha256)
    columns = Columns(reference.image_column, reference.label_column)
    return DataSource(data=str(path), size=reference.size, columns=columns)


def verify_file(path: Path, sha256: str) -> None:
    """Raise ``InvalidRequest`` unless an uploaded file is what came."""
    if sha256_of(path) != sha256:
        raise InvalidRequest(f"{path.name}: its SHA-256 is not that of what was uploaded; upload it again")
