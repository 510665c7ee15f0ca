"""``PUT`` and ``DELETE`` of data sets, checkpoints and classifiers; ``/uploads``: what became of them."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.access.caller import Caller, Distils, Known
from app.catalog.datasets import read_datasets
from app.jobs.lifecycle import remove_files
from app.paths import Root
from app.problems import CLIENT_CLOSED_REQUEST
from app.service import Service, ServiceDependency
from app.uploads import examples
from app.uploads.documents import PATH, DatasetResponse, UploadResponse, UploadsResponse, document_of
from app.uploads.naming import refuse_name
from app.uploads.receiving import Received, linger, no_room, received
from core.catalog.card import PredictionType
from core.errors import Conflict, FewstepError, NotFound, TooMany
from core.log import get_logger
from core.uploads.record import Upload, UploadKind, UploadState

POLL_AFTER_S = 2

log = get_logger(__name__)
router = APIRouter(tags=["models"])

Name = Annotated[str, Path(max_length=64, description="Small letters, digits, `.`, `_` and `-`")]


@router.put(
    "/datasets/{name}",
    status_code=202,
    response_model=UploadResponse,
    summary="Upload a data set",
    responses=examples.PUT_RESPONSES,
    openapi_extra=examples.FILE,
)
async def put_dataset(
    request: Request,
    response: Response,
    service: ServiceDependency,
    caller: Distils,
    root: Root,
    name: Name,
    size: Annotated[
        int | None, Query(ge=1, le=1024, description="Crop pictures to squares, and resize them to so many pixels")
    ] = None,
    image_column: Annotated[
        str | None, Query(max_length=200, description="Of a Parquet file with several columns of pictures: which")
    ] = None,
    label_column: Annotated[
        str | None, Query(max_length=200, description="Of a Parquet file with several columns of classes: which")
    ] = None,
) -> Any:  # noqa: ANN401 (an upload, or nothing where nobody is there to read it)
    """The body is the file: a zip of pictures, in a folder for each class or none, a Parquet file in the Hugging Face
    Hub's image layout, or CIFAR's Python archive. `Content-Digest` or `Repr-Digest` may have its SHA-256.

    What was uploaded under the name before is replaced, all at once. A worker looks at the file before it is listed.
    """  # noqa: D205
    asked = {"size": size, "image_column": image_column, "label_column": label_column}
    return await _put(request, response, service, caller, root, UploadKind.DATASET, name, asked)


@router.put(
    "/models/{family}/{checkpoint}",
    status_code=202,
    response_model=UploadResponse,
    summary="Upload a checkpoint",
    responses=examples.PUT_RESPONSES,
    openapi_extra=examples.FILE,
)
async def put_model(
    request: Request,
    response: Response,
    service: ServiceDependency,
    caller: Distils,
    root: Root,
    family: Name,
    checkpoint: Name,
    prediction_type: Annotated[
        PredictionType | None,
        Query(description="What the network predicts; a `ckpt.pt` does not say, and is taken to predict the sample"),
    ] = None,
) -> Any:  # noqa: ANN401 (an upload, or nothing where nobody is there to read it)
    """The body is a zip of a checkpoint's folder, of ours or of a pipeline of diffusers, or a `ckpt.pt` of the CFD
    authors' code. As of a data set in all else.
    """  # noqa: D205
    asked = {"prediction_type": prediction_type}
    return await _put(request, response, service, caller, root, UploadKind.MODEL, f"{family}/{checkpoint}", asked)


@router.put(
    "/classifiers/{name}",
    status_code=202,
    response_model=UploadResponse,
    summary="Upload a classifier",
    responses=examples.PUT_RESPONSES,
    openapi_extra=examples.FILE,
)
async def put_classifier(
    request: Request, response: Response, service: ServiceDependency, caller: Distils, root: Root, name: Name
) -> Any:  # noqa: ANN401 (an upload, or nothing where nobody is there to read it)
    """The body is a zip of a classifier's folder, as `fewstep train-classifier` writes it."""
    return await _put(request, response, service, caller, root, UploadKind.CLASSIFIER, name, {})


async def _put(
    request: Request,
    response: Response,
    service: Service,
    caller: Caller,
    root: str,
    kind: UploadKind,
    name: str,
    asked: Mapping[str, Any],
) -> UploadResponse | Response:
    asked = {key: value for key, value in asked.items() if value is not None}
    try:
        await run_in_threadpool(_refuse, service, caller, kind, name)
        async with received(request, service) as file:
            upload = Upload(
                id=uuid.uuid4().hex,
                kind=kind,
                name=name,
                size=file.size,
                sha256=file.sha256,
                asked=asked,
                owner=caller.name,
            )
            await run_in_threadpool(service.uploads.begin, upload.id)
            await _store(service, file, upload)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except FewstepError:
        await linger(request)
        raise
    outcome, found = await run_in_threadpool(
        service.uploads.receive, upload, most=service.settings.max_uploads, replaces_others=caller.sees_all
    )
    if outcome != "received":
        await remove_files(service, upload.folder)
        _refuse_outcome(service, kind, outcome, found)
    kept = await run_in_threadpool(service.uploads.read, found)
    if kept is None:
        raise Conflict("another upload has taken the name meanwhile")
    log.info("upload received" if outcome == "received" else "upload known", upload=found, place=kept.place)
    return _answer(response, kept, root)


async def _store(service: Service, file: Received, upload: Upload) -> None:
    """Put the file into the artifact store, in a thread that no other endpoint waits for."""
    try:
        await asyncio.to_thread(service.artifacts.put, file.path, upload.file)
    except (FewstepError, OSError) as error:
        await remove_files(service, upload.folder)
        raise no_room(error) if isinstance(error, OSError) else error from None


def _refuse(service: Service, caller: Caller, kind: UploadKind, name: str) -> None:
    """What can be known before the body is read."""
    refuse_name(service, caller, kind, name)
    there = service.uploads.find(kind, name)
    if there is None:
        return
    _refuse_others(caller, there)
    for record in service.jobs.active():
        if there.id in record.job.uses:
            _refuse_outcome(service, kind, "used", record.job.id)


def _refuse_others(caller: Caller, upload: Upload) -> None:
    if not caller.sees(upload.owner):
        raise Conflict("another key has uploaded something of this name", field="name")


def _refuse_outcome(service: Service, kind: UploadKind, outcome: str, found: str) -> None:
    """Raise for what came in the way of an upload, if something did."""
    match outcome:
        case "other":
            raise Conflict("another key has uploaded something of this name", field="name")
        case "used":
            raise Conflict(f"the job {found} uses what has this name; cancel it or wait for its end")
        case "taken":
            raise Conflict("a job has this name", field="family" if kind is UploadKind.MODEL else "name")
        case "full":
            most = service.settings.max_uploads
            raise TooMany(f"there are {most} uploads already; delete some", allowed={"maximum": most})


def _answer(response: Response, upload: Upload, root: str) -> UploadResponse:
    document = document_of(upload, root)
    response.headers["Location"] = document.links["self"]
    response.headers["Cache-Control"] = "no-store"
    if upload.state in (UploadState.RECEIVED, UploadState.LOOKING):
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    else:
        response.status_code = 200
    return document


@router.get(PATH, summary="All uploads, newest first")
def list_uploads(service: ServiceDependency, caller: Known, root: Root) -> UploadsResponse:
    """Your uploads, with the scope `admin` those of all."""
    seen = [upload for upload in service.uploads.all() if caller.sees(upload.owner)]
    return UploadsResponse(uploads=[document_of(upload, root) for upload in seen])


@router.get(f"{PATH}/{{id}}", summary="What became of an upload", responses=examples.GET_RESPONSES)
def get_upload(
    response: Response, service: ServiceDependency, caller: Known, root: Root, id: Annotated[str, Path()]
) -> UploadResponse:
    """`Retry-After` until a worker has looked at it; then `ready`, or `refused` with the reason."""
    upload = service.uploads.read(id)
    if upload is None or not caller.sees(upload.owner):
        raise NotFound(f"there is no upload {id}, or no more: another may have its name", field="id")
    return _answer(response, upload, root)


@router.get("/datasets/{name}", summary="A data set", responses=examples.GET_RESPONSES)
def get_dataset(service: ServiceDependency, caller: Known, root: Root, name: str) -> DatasetResponse:
    """What is in it, or why it cannot be used; and what became of the upload, if it is one."""
    known = read_datasets(service, caller)
    if name not in known:
        raise NotFound(f"there is no data set {name!r}", field="name", allowed=list(known))
    upload = service.uploads.find(UploadKind.DATASET, name)
    is_one = upload is not None and upload.dataset == known[name]
    document = document_of(upload, root) if upload is not None and is_one else None
    return DatasetResponse(**known[name].model_dump(), upload=document)


def _forget_dataset(service: ServiceDependency, caller: Distils, name: str) -> str:
    return _forget(service, caller, UploadKind.DATASET, name)


def _forget_model(service: ServiceDependency, caller: Distils, family: str, checkpoint: str) -> str:
    return _forget(service, caller, UploadKind.MODEL, f"{family}/{checkpoint}")


def _forget_classifier(service: ServiceDependency, caller: Distils, name: str) -> str:
    return _forget(service, caller, UploadKind.CLASSIFIER, name)


def _forget(service: Service, caller: Caller, kind: UploadKind, name: str) -> str:
    """Delete the record, which takes a thread; gives the key of the files."""
    upload = service.uploads.find(kind, name)
    if upload is None or not caller.sees_shared(upload.owner):
        raise NotFound(f"nothing was uploaded as {kind}/{name}", field="checkpoint" if "/" in name else "name")
    caller.need_to_change(upload.owner)
    outcome, found = service.uploads.forget(kind, name)
    if outcome == "none":
        raise NotFound(f"nothing was uploaded as {kind}/{name}", field="checkpoint" if "/" in name else "name")
    _refuse_outcome(service, kind, outcome, found)
    return upload.folder


@router.delete("/datasets/{name}", status_code=204, summary="Remove an upload", responses=examples.DELETE_RESPONSES)
async def delete_dataset(service: ServiceDependency, key: Annotated[str, Depends(_forget_dataset)]) -> None:
    """Remove a data set that was uploaded; not while a job uses it."""
    await remove_files(service, key)


@router.delete(
    "/models/{family}/{checkpoint}",
    status_code=204,
    summary="Remove an upload",
    responses=examples.DELETE_RESPONSES,
)
async def delete_model(service: ServiceDependency, key: Annotated[str, Depends(_forget_model)]) -> None:
    """Remove a checkpoint that was uploaded; not while a job uses it."""
    await remove_files(service, key)


@router.delete("/classifiers/{name}", status_code=204, summary="Remove an upload", responses=examples.DELETE_RESPONSES)
async def delete_classifier(service: ServiceDependency, key: Annotated[str, Depends(_forget_classifier)]) -> None:
    """Remove a classifier that was uploaded; not while a job uses it."""
    await remove_files(service, key)
