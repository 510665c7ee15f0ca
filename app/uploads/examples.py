"""What ``/docs`` shows of uploads."""

from typing import Any

from app.generate.examples import Responses, headers, problem
from core.errors import Conflict, NotFound, TooLarge, TooMany

_ID = "5f0c2a9be1b74d7c8c1f6a4f2f7f9d10"

FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "SHA-256 of the file, by RFC 9530: `sha-256=:BASE64:`",
        }
        for name in ("Content-Digest", "Repr-Digest")
    ],
}
PUT_RESPONSES: Responses = {
    200: {"description": "The same file is there already, and ready or refused"},
    202: {
        "description": "The file has come, and is to be looked at",
        "headers": headers({"Location": "The upload", "Retry-After": "Seconds after which to ask for it"}),
    },
    **problem(Conflict("there is a data set 'digits' already", field="name"), "/datasets/digits"),
    **problem(TooLarge("an upload may have at most 8589934592 bytes"), "/datasets/photos"),
    **problem(TooMany("there are 200 uploads already; delete some", allowed={"maximum": 200}), "/datasets/photos"),
}
GET_RESPONSES: Responses = problem(NotFound("there is no data set 'photos'", field="name"), "/datasets/photos")
DELETE_RESPONSES: Responses = {
    **problem(NotFound("nothing was uploaded as datasets/photos", field="name"), "/datasets/photos"),
    **problem(Conflict(f"the job {_ID} uses what has this name; cancel it or wait for its end"), "/datasets/photos"),
}
