"""What ``/docs`` shows of jobs that train: requests that work as they stand, and an answer for each outcome."""

from typing import Any

from app.generate.examples import Responses, headers, problem
from app.jobs.examples import CANCEL_RESPONSES as CANCEL_RESPONSES
from app.jobs.examples import EVENTS_RESPONSES as EVENTS_RESPONSES
from app.jobs.examples import LIST_RESPONSES as LIST_RESPONSES
from app.jobs.examples import LOCATED
from app.jobs.examples import RETRY_RESPONSES as RETRY_RESPONSES
from app.training.documents import document_of
from core.errors import Conflict, InvalidRequest, NotFound, TooMany
from core.jobs.record import JobRecord, JobState
from core.jobs.references import JobKind
from core.jobs.training import TrainingJob, TrainingRequest

_ID = "5f0c2a9be1b74d7c8c1f6a4f2f7f9d10"
_PATH = f"/training-jobs/{_ID}"

REQUESTS: dict[str, Any] = {
    "teacher": {
        "summary": "A small teacher of the digits, in minutes of a CPU",
        "value": {
            "kind": "teacher",
            "data": "digits",
            "channels": 32,
            "multipliers": [1, 2],
            "blocks": 1,
            "dropout": 0.0,
            "iterations": 600,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "decay": "cosine",
            "warmup": 50,
            "ema_decay": 0.99,
        },
    },
    "classifier": {
        "summary": "A small classifier of the digits",
        "value": {
            "kind": "classifier",
            "data": "digits",
            "architecture": "resnet-small",
            "iterations": 150,
            "batch_size": 64,
            "shift": 1,
        },
    },
}

_RECORD = JobRecord(
    job=TrainingJob(
        id=_ID,
        kind=JobKind.CLASSIFIER,
        name="mine",
        request=TrainingRequest(data="digits", kind="classifier", name="mine"),
        data="digits",
        created=1767225600.0,
        request_id="b6f6c0b4",
    ),
    state=JobState.RUNNING,
    fence=1,
    slices=1,
    attempts=1,
    round=0,
    iteration=400,
    loss=0.31,
    rate=8.0,
    history=[(380, 0.35), (400, 0.31)],
    rounds=[],
    saved={},
    error=None,
    worker="",
    lease=0,
    hinted=0,
    progressed=None,
    trained_s=0,
    started=1767225601.0,
    updated=1767225790.0,
    ended=None,
)
_UNKNOWN = problem(NotFound(f"there is no job {_ID}", field="id"), _PATH)
_EXAMPLE = {"application/json": {"example": document_of(_RECORD).model_dump(mode="json")}}

POST_RESPONSES: Responses = {
    202: {
        "description": "Queued, or queued before under the same Idempotency-Key",
        "headers": LOCATED,
        "content": _EXAMPLE,
    },
    **problem(Conflict("there is a classifier 'mine' already", field="name"), "/training-jobs"),
    **problem(InvalidRequest("a classifier has no channels", field="channels"), "/training-jobs"),
    **problem(TooMany("20 jobs wait or run already", allowed={"maximum": 20}), "/training-jobs"),
}
GET_RESPONSES: Responses = {
    200: {
        "description": "All that is known of it",
        "headers": headers({"Retry-After": "Seconds after which to ask again; only until it has ended"}),
        "content": _EXAMPLE,
    },
    **_UNKNOWN,
}
DELIVERIES_RESPONSES: Responses = {**LIST_RESPONSES, **_UNKNOWN}
SAMPLES_RESPONSES: Responses = {
    200: {"description": "A grid", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    **problem(NotFound("there are no samples: a teacher has them once it is trained"), f"{_PATH}/samples.png"),
}
DELETE_RESPONSES: Responses = {
    **_UNKNOWN,
    **problem(Conflict("the job 7a… distils mine; cancel it or wait for its end"), _PATH),
}
