"""What ``/docs`` shows of uploads."""

from typing import Any

from app.generate.examples import Responses, problem
from core.errors import Conflict, NotFound

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
GET_RESPONSES: Responses = problem(NotFound("there is no data set 'photos'", field="name"), "/datasets/photos")
DELETE_RESPONSES: Responses = {
    **problem(NotFound("nothing was uploaded as datasets/photos", field="name"), "/datasets/photos"),
    **problem(Conflict(f"the job {_ID} uses what has this name; cancel it or wait for its end"), "/datasets/photos"),
}
