"""What strangers send is read without being obeyed, and refused in words that say why."""

import io
import os
import pickle
import resource
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import torch
from pyarrow import parquet

from core.catalog.card import read_card
from core.catalog.classifier_card import read_classifier_card
from core.catalog.datasets import DatasetFacts
from core.uploads.record import UploadKind
from models.checkpoints.checkpoint import load_checkpoint
from models.classifiers.checkpoint import save_classifier
from models.classifiers.classifier import Classifier
from tests.worker.archives import pictures, zip_folder, zip_of
from worker.uploads.look import Findings, look

MOST = 10_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))


def seen(path: Path, kind: UploadKind = UploadKind.DATASET, *, most_bytes: int = MOST, **asked: Any) -> Findings:  # noqa: ANN401
    return look(kind, path, path.parent / "work" / "out", asked, most_bytes=most_bytes)


def facts_of(path: Path, **asked: Any) -> DatasetFacts:  # noqa: ANN401
    found = seen(path, **asked)
    assert "facts" in found, found
    return DatasetFacts.model_validate_json(found["facts"])


def test_a_zip_of_pictures_a_table_and_an_archive_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    file = tmp_path / "photos"
    zip_of(pictures(), file)
    found = facts_of(file)
    assert (found.image_shape, found.images, found.class_names) == ((3, 8, 8), 8, ("cat", "dog"))
    assert facts_of(file, size=4).image_shape == (3, 4, 4)

    column = pa.array([{"bytes": one, "path": name} for name, one in pictures().items()])
    parquet.write_table(pa.table({"image": column, "other": column, "label": [0, 1] * 4}), tmp_path / "table")
    assert "several image columns" in seen(tmp_path / "table")["reason"]
    assert facts_of(tmp_path / "table", image_column="other").num_classes == 2

    with tarfile.open(tmp_path / "tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar/none"))
    assert "not CIFAR's Python archive" in seen(tmp_path / "tar")["reason"]
    (tmp_path / "text").write_text("no pictures")
    assert seen(tmp_path / "text")["reason"].startswith("neither a zip of pictures")


def encrypted() -> bytes:
    """A zip whose member says that it has a password."""
    content = bytearray(zip_of(pictures(1)))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    return bytes(content)


def linked() -> bytes:
    """A zip with a link to a file of the machine."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("cat/0.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def bomb() -> bytes:
    """A small zip that is large."""
    return zip_of({"0.png": 20_000_000 * b"\0"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: zip_of({"../0.png": b""}), "leads out of it"),
        (lambda: zip_of({"a/../../0.png": b""}), "leads out of it"),
        (lambda: zip_of({"/etc/0.png": b""}), "leads out of it"),
        (lambda: zip_of({"C:/0.png": b""}), "leads out of it"),
        (lambda: zip_of({"a\\0.png": b""}), "is no name of a file"),
        (lambda: zip_of({"cat/0.png": b"", "Cat/0.PNG": b""}), "in other letters"),
        (linked, "is a link"),
        (encrypted, "is encrypted"),
        (bomb, f"more than {MOST} bytes unpacked"),
        (lambda: zip_of(pictures())[:-30], "not a readable zip"),
        (lambda: zip_of({"a.txt": b"no picture"}), "no pictures in it"),
        (lambda: zip_of({"a/0.png": b"\x89PNG"}), "not a readable picture"),
    ],
)
@pytest.mark.parametrize("kind", [UploadKind.DATASET, UploadKind.MODEL])
def test_a_zip_that_is_not_to_be_trusted_is_refused(
    tmp_path: Path, content: Callable[[], bytes], reason: str, kind: UploadKind
) -> None:
    file = tmp_path / "in" / "photos"
    file.parent.mkdir()
    file.write_bytes(content())
    said = seen(file, kind)["reason"]
    if kind is UploadKind.DATASET or "pictur" not in reason:
        assert reason in said
    assert str(tmp_path) not in said
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "cache"}


@pytest.mark.parametrize(("kind", "reason"), [(tarfile.SYMTYPE, "is a link"), (tarfile.REGTYPE, "more than 100 bytes")])
def test_a_tar_that_is_not_to_be_trusted_is_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    with tarfile.open(tmp_path / "tar", "w:gz") as archive:
        member = tarfile.TarInfo("cifar/meta")
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0 if kind == tarfile.SYMTYPE else 1000
        archive.addfile(member, io.BytesIO(member.size * b"x"))
    assert reason in seen(tmp_path / "tar", most_bytes=100)["reason"]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.environ['EVIL']}",)


def test_pickles_are_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "obeyed"))
    torch.save({"net_model": Evil()}, tmp_path / "ckpt")
    torch.save({"net_model": Evil()}, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "plain").write_bytes(pickle.dumps(Evil()))
    config = b'{"_class_name": "UNet2DModel", "in_channels": 3, "out_channels": 3, "sample_size": 8}'
    scheduler = b'{"_class_name": "DDPMScheduler"}'
    files = {"unet/config.json": config, "scheduler/scheduler_config.json": scheduler}
    zip_of({**files, "unet/diffusion_pytorch_model.bin": (tmp_path / "ckpt").read_bytes()}, tmp_path / "pipeline")
    for name in ("ckpt", "old", "plain", "pipeline"):
        assert seen(tmp_path / name, UploadKind.MODEL)["reason"], name
    assert not (tmp_path / "obeyed").exists()


def test_an_index_of_shards_names_no_files_elsewhere(tmp_path: Path) -> None:
    index = b'{"weight_map": {"conv_in.weight": "../../../secret.safetensors"}}'
    zip_of({"unet/config.json": b"{}", "unet/x.safetensors.index.json": index}, tmp_path / "model")
    assert "not beside it" in seen(tmp_path / "model", UploadKind.MODEL)["reason"]


def test_checkpoints_of_ours_and_pipelines_become_checkpoints(tmp_path: Path, tiny_family: Path) -> None:
    ours = tiny_family / "8-step"
    file, out = zip_folder(ours, tmp_path / "8-step", top="tiny-8-step/"), tmp_path / "work" / "out"
    assert seen(file, UploadKind.MODEL) == {}
    assert read_card(out) == read_card(ours)
    load_checkpoint(out)

    foreign = tmp_path / "foreign" / "teacher"
    foreign.parent.mkdir()
    files = {str(one.relative_to(ours)): one.read_bytes() for one in ours.rglob("*") if one.is_file()}
    del files["card.json"]
    zip_of(files, foreign)
    assert seen(foreign, UploadKind.MODEL) == {}
    card = read_card(foreign.parent / "work" / "out")
    assert (card.method, card.command, card.num_steps) == ("import", "PUT /models", 1024)

    damaged = tmp_path / "damaged" / "8-step"
    damaged.parent.mkdir()
    files["card.json"] = (tiny_family / "4-step" / "card.json").read_bytes()
    zip_of(files, damaged)
    assert "SHA-256 differs" in seen(damaged, UploadKind.MODEL)["reason"]


def test_a_classifier_is_known_by_its_card(tmp_path: Path) -> None:
    network = Classifier("resnet-small", channels=3, num_classes=2, mean=(0,) * 3, std=(1,) * 3)
    facts = {"accuracy": 1.0, "test_images": 1, "data": "x", "data_fingerprint": 64 * "0"}
    folder = tmp_path / "mine"
    save_classifier(folder, network, architecture="resnet-small", image_shape=(3, 8, 8), **facts)
    file = zip_folder(folder, tmp_path / "zip")
    assert seen(file, UploadKind.CLASSIFIER) == {}
    assert read_classifier_card(tmp_path / "work" / "out") == read_classifier_card(folder)
    (tmp_path / "other").mkdir()
    zip_of({"classifier.json": (folder / "classifier.json").read_bytes()}, tmp_path / "other" / "zip")
    reason = seen(tmp_path / "other" / "zip", UploadKind.CLASSIFIER)["reason"]
    assert reason == "model.safetensors is missing in the zip"


def test_a_looker_can_write_and_remember_no_more_than_it_may(tmp_path: Path) -> None:
    zip_of(pictures(16), tmp_path / "photos")
    code = (
        "import sys, json; from worker.uploads.look import make_looker;"
        "look = make_looker(int(sys.argv[2]), int(sys.argv[3]), None, None);"
        "print(json.dumps(look('datasets', sys.argv[1], sys.argv[1] + '.out', {'size': 256})))"
    )

    def run(most_bytes: int, most_memory: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, str(tmp_path / "photos"), str(most_bytes), str(most_memory)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert '"facts"' in run(MOST, resource.RLIM_INFINITY).stdout
    (tmp_path / "photos").touch()  # else what was decoded is there
    assert "File too large" in run(1_000_000, resource.RLIM_INFINITY).stdout
    assert '"facts"' not in run(MOST, 4 << 20).stdout
