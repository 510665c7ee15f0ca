"""What ``/docs`` shows of distillation jobs: requests that work as they stand, and an answer for each outcome."""

from typing import Any

from app.generate.examples import Responses, headers, problem
from app.jobs.documents import document_of
from core.errors import Conflict, InvalidRequest, NotFound, TooMany, Unavailable
from core.jobs.record import JobRecord, JobState
from core.jobs.references import CheckpointRef, ClassifierRef, RoundResult
from core.jobs.request import DistillJob, DistillRequest

_ID = "5f0c2a9be1b74d7c8c1f6a4f2f7f9d10"
_PATH = f"/distill-jobs/{_ID}"

REQUESTS: dict[str, Any] = {
    "chain": {
        "summary": "The teacher of digits in 8 steps, halved to students of 4, 2 and 1",
        "value": {"teacher": "digits/teacher", "from_steps": 8, "to_steps": 1, "name": "digits-mine"},
    },
    "default": {"summary": "A checkpoint with every default", "value": {"teacher": "digits/8-step"}},
    "sfd": {
        "summary": "A student of 3 steps that follows the teacher's own walk, without images",
        "value": {"teacher": "digits/teacher", "method": "sfd", "to_steps": 3, "name": "digits-in-three"},
    },
    "rdd": {
        "summary": "Two rounds by features and how they relate, through the family's classifier",
        "value": {"teacher": "digits/8-step", "method": "rdd", "to_steps": 2, "memory_weight": 0.1},
    },
    "better": {
        "summary": "One short round, whose student serves in its family if it is better than the one that does",
        "value": {
            "teacher": "digits/teacher",
            "from_steps": 8,
            "to_steps": 4,
            "iterations": 300,
            "promote": "if_better",
            "evaluate": {"samples": 2000},
        },
    },
}

_RECORD = JobRecord(
    job=DistillJob(
        id=_ID,
        name="digits-mine",
        request=DistillRequest(teacher="digits/teacher", from_steps=8, name="digits-mine"),
        teacher=CheckpointRef(
            family="digits",
            checkpoint="teacher",
            artifact=None,
            sha256="a19b4d7242ad59722c9ba3621fe070bbcebdca4e8958dfb06113ed54c8c4f588",
        ),
        steps=(4, 2, 1),
        classifier=ClassifierRef(
            name="digits/classifier", sha256="c5a11d515ad1844fe33df9fa3d53828bcd368d387c1ff23ab38c26d2a53c27d3"
        ),
        data="digits",
        judge=None,
        created=1767225600.0,
        request_id="b6f6c0b4",
    ),
    state=JobState.RUNNING,
    fence=3,
    slices=3,
    attempts=1,
    round=1,
    iteration=400,
    loss=0.031,
    rate=8.0,
    history=[(1380, 0.035), (1400, 0.031)],
    rounds=[
        RoundResult(
            steps=4,
            checkpoint="digits-mine/4-step",
            artifact=f"jobs/{_ID}/4-step",
            samples=f"jobs/{_ID}/samples/4-step.png",
        )
    ],
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

LOCATED = headers({"Location": "The job", "Retry-After": "Seconds after which to ask for it"})
_UNKNOWN = problem(NotFound(f"there is no job {_ID}", field="id"), _PATH)
_TOO_MANY = problem(TooMany("20 jobs wait or run already", allowed={"maximum": 20}), "/distill-jobs")
_NO_REDIS = problem(Unavailable("Redis does not answer"), "/distill-jobs")

_EXAMPLE = {"application/json": {"example": document_of(_RECORD).model_dump(mode="json")}}

POST_RESPONSES: Responses = {
    202: {
        "description": "Queued, or queued before under the same Idempotency-Key",
        "headers": LOCATED,
        "content": _EXAMPLE,
    },
    **problem(
        NotFound("there is no model 'cats'; there are digits", field="teacher", allowed=["digits"]), "/distill-jobs"
    ),
    **problem(Conflict("there is a family 'digits' already", field="name"), "/distill-jobs"),
    **problem(
        InvalidRequest("cfd does not lead from 8 steps to 3", field="to_steps", allowed=[4, 2, 1]),
        "/distill-jobs",
    ),
    **_TOO_MANY,
    **_NO_REDIS,
}
LIST_RESPONSES: Responses = {
    **problem(InvalidRequest("cursor must be one from `next` of a page", field="cursor"), "/distill-jobs"),
    **_NO_REDIS,
}
DELIVERIES_RESPONSES: Responses = {**_UNKNOWN, **_NO_REDIS}
GET_RESPONSES: Responses = {
    200: {
        "description": "All that is known of it",
        "headers": headers({"Retry-After": "Seconds after which to ask again; only until it has ended"}),
        "content": _EXAMPLE,
    },
    **_UNKNOWN,
    **_NO_REDIS,
}
EVENTS_RESPONSES: Responses = {
    200: {
        "description": "Events with ids",
        "content": {
            "text/event-stream": {
                "example": 'event: state\ndata: {"state":"running"}\nid: 1767225601000-0\n\n: still there\n\n'
            }
        },
    },
    **_UNKNOWN,
    **problem(InvalidRequest("Last-Event-ID must be the id of an event", field="Last-Event-ID"), f"{_PATH}/events"),
}
SAMPLES_RESPONSES: Responses = {
    200: {"description": "A grid", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    **problem(
        NotFound("1 rounds are finished", field="k", allowed={"minimum": 1, "maximum": 1}),
        f"{_PATH}/rounds/2/samples.png",
    ),
}
CANCEL_RESPONSES: Responses = {
    200: {"description": "Cancelled"},
    202: {"description": "Its worker stops within an iteration", "headers": LOCATED},
    **_UNKNOWN,
    **problem(Conflict("the job has succeeded already", field="state"), f"{_PATH}/cancel"),
}
RETRY_RESPONSES: Responses = {
    202: {"description": "Queued again", "headers": LOCATED},
    **_UNKNOWN,
    **problem(Conflict("the job is running", field="state", allowed=["failed", "cancelled"]), f"{_PATH}/retry"),
    **_TOO_MANY,
}
DELETE_RESPONSES: Responses = {
    **_UNKNOWN,
    **problem(
        Conflict("a checkpoint of it serves as digits/4 (family/steps); POST /models/digits/4/rollback undoes that"),
        _PATH,
    ),
}
