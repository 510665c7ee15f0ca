"""Looking at an upload: whether it is what it is to be. Runs in a process of its own, with limits."""

import json
import resource
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.catalog.card import CARD_NAME
from core.catalog.classifier_card import CLASSIFIER_CARD_NAME
from core.errors import FewstepError, InvalidRequest
from core.uploads.record import UploadKind
from worker.uploads.archive import check_tar, check_zip, unpack

ENDINGS = (".json", ".safetensors", ".bin")
"""Of files that a checkpoint is made of; others in a zip are passed over."""
MOST_CARD_BYTES = 4 << 20
OURS = (
    CARD_NAME,
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
CLASSIFIERS = (CLASSIFIER_CARD_NAME, "model.safetensors")
_ZIP = b"PK\x03\x04"

Findings = dict[str, Any]
"""``reason`` where an upload is refused; else ``facts`` of a data set as JSON, or nothing, with the folder written."""


def make_looker(
    most_bytes: int, most_memory: int, _is_draining: Callable[[], bool], _tell: Callable[[object], None]
) -> Callable[[str, str, str, Mapping[str, Any]], Findings]:
    """What a child process calls for an upload, within limits of what it may write and have in memory."""
    for kind, limit in (("FSIZE", most_bytes), ("DATA", most_memory), ("CORE", 0)):
        number = getattr(resource, f"RLIMIT_{kind}")
        _, hard = resource.getrlimit(number)
        with suppress(ValueError, OSError):  # not every system has each
            resource.setrlimit(number, (limit if hard < 0 else min(limit, hard), hard))

    return lambda kind, path, out, asked: look(UploadKind(kind), Path(path), Path(out), asked, most_bytes=most_bytes)


def look(kind: UploadKind, path: Path, out: Path, asked: Mapping[str, Any], *, most_bytes: int) -> Findings:
    """What a file is.

    Args:
        kind: What it is to be.
        path: The file.
        out: Folder to write a checkpoint or a classifier to; its parent is free to work in.
        asked: As of ``core.uploads.record.Upload``.
        most_bytes: As of ``worker.uploads.archive.check_zip``.
    """
    try:
        match kind:
            case UploadKind.DATASET:
                return _look_at_data(path, asked, most_bytes=most_bytes)
            case UploadKind.MODEL:
                _look_at_model(path, out, asked, most_bytes=most_bytes)
            case UploadKind.CLASSIFIER:
                _look_at_classifier(path, out, most_bytes=most_bytes)
    except FewstepError as error:
        return {"reason": _plain(error.detail, path, out)}
    except MemoryError:
        return {"reason": "it needs more memory than there may be"}
    except OSError as error:
        return {"reason": _plain(f"it cannot be unpacked ({error.strerror or error})", path, out)}
    except Exception as error:  # whatever parsers raise of what strangers send
        return {"reason": _plain(f"it cannot be read ({type(error).__name__}: {error})", path, out)}
    return {}


def _look_at_data(path: Path, asked: Mapping[str, Any], *, most_bytes: int) -> Findings:
    from models.data.dataset import container_of
    from models.data.parquet_files import Columns
    from worker.facts import describe

    match container_of(path):
        case "zip":
            check_zip(path, most_bytes=most_bytes)
        case "tar":
            check_tar(path, most_bytes=most_bytes)
        case None:
            raise InvalidRequest("neither a zip of pictures, nor a Parquet file, nor CIFAR's archive")
    columns = Columns(asked.get("image_column"), asked.get("label_column"))
    facts = describe(path, size=asked.get("size"), columns=columns)
    return {"reason": _plain(facts.error, path, path)} if facts.error else {"facts": facts.model_dump_json()}


def _look_at_model(path: Path, out: Path, asked: Mapping[str, Any], *, most_bytes: int) -> None:
    from models.checkpoints.authors import AuthorsCheckpoint, read_authors_checkpoint
    from models.checkpoints.checkpoint import save_checkpoint
    from models.checkpoints.pipelines import Pipeline, read_pipeline
    from models.checkpoints.stored import fitting, read_stored
    from models.sampling.kinds import refuse_unlike, without_values

    theirs: AuthorsCheckpoint | Pipeline
    if _is_folder(path):
        folder = _unpacked(path, out, most_bytes=most_bytes)
        if (folder / CARD_NAME).is_file():
            _keep(folder, out, OURS)
            stored = read_stored(out)
            with fitting(out):
                without_values(stored.config, stored.weights)
            return
        _refuse_indices(folder)
        theirs = read_pipeline(folder)
    else:
        theirs = read_authors_checkpoint(path)
    refuse_unlike(theirs.network.config, path, rows=theirs.rows)
    save_checkpoint(
        out,
        theirs.network,
        rows=theirs.rows,
        schedule=theirs.schedule,
        prediction_type=asked.get("prediction_type") or theirs.prediction_type,
        method="import",
        command="PUT /models",
    )


def _look_at_classifier(path: Path, out: Path, *, most_bytes: int) -> None:
    from models.classifiers.checkpoint import load_classifier

    _keep(_unpacked(path, out, most_bytes=most_bytes), out, CLASSIFIERS)
    load_classifier(out)


def _is_folder(path: Path) -> bool:
    """Whether a file is a zip of a folder; what torch writes is one too, with a pickle in it."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return False
    return not any(member.filename.endswith("/data.pkl") for member in check_zip(path, most_bytes=1 << 62))


def _unpacked(path: Path, out: Path, *, most_bytes: int) -> Path:
    """The folder that is in a zip, below any others that are around it."""
    folder = out.parent / "unpacked"
    unpack(path, folder, endings=ENDINGS, most_bytes=most_bytes)
    while folder.is_dir():
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name == "unet":
            return folder
        (folder,) = inside
    raise InvalidRequest(f"there is no file in the zip that ends in {', '.join(ENDINGS)}")


def _keep(folder: Path, out: Path, names: tuple[str, ...]) -> None:
    """Move the files that something of ours consists of, and no other."""
    for name in names:
        if not (folder / name).is_file():
            raise InvalidRequest(f"{name} is missing in the zip")
        if name.endswith(".json") and (folder / name).stat().st_size > MOST_CARD_BYTES:
            raise InvalidRequest(f"{name} has more than {MOST_CARD_BYTES} bytes")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / name, out / name)


def _refuse_indices(folder: Path) -> None:
    """Raise where an index of shards names files elsewhere."""
    for index in folder.rglob("*.index*.json"):
        shards = json.loads(index.read_bytes()).get("weight_map", {}).values()
        if any("/" in str(shard) or "\\" in str(shard) for shard in shards):
            raise InvalidRequest(f"{index.name} names files that are not beside it")


def _plain(words: str, *paths: Path) -> str:
    """Without the folders of this machine."""
    for path in paths:
        words = words.replace(f"{path.parent}/unpacked/", "").replace(f"{path.parent}/unpacked", "the zip")
        words = words.replace(f"{path.parent}/", "")
    return " ".join(words.split())[:1000]
