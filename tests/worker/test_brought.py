"""Data sets on a machine that has none of the files, only the artifact store."""

from pathlib import Path

import pytest

from core.catalog.artifacts import ArtifactStore
from core.catalog.datasets import DataRef
from core.errors import InvalidRequest, NotFound
from core.settings import Settings
from models.checkpoints.files import sha256
from tests.worker.archives import pictures, zip_of
from worker.brought import data_source
from worker.facts import describe


def test_an_uploaded_data_set_is_fetched_once_and_only_as_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    store = ArtifactStore("memory://brought", cache=tmp_path / "copies")
    zip_of(pictures(), tmp_path / "photos.zip")
    store.put(tmp_path / "photos.zip", "uploads/a/received/photos")
    reference = DataRef(artifact="uploads/a/received/photos", sha256=sha256(tmp_path / "photos.zip"), size=4)
    found = data_source("photos", reference, Settings(var=tmp_path), store)
    facts = describe(Path(found["data"]), size=found["size"], columns=found["columns"])
    assert (facts.name, facts.image_shape, facts.images) == ("photos", (3, 4, 4), 8)

    copy = Path(found["data"])
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(InvalidRequest, match="its SHA-256 is not that of what was uploaded"):
        data_source("photos", reference, Settings(var=tmp_path), store)
    store.remove("uploads/a")
    with pytest.raises(NotFound):
        data_source("photos", reference, Settings(var=tmp_path), store)
