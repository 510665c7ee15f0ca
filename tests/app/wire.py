"""HTTP as bytes, to send what no client library would."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

CLOSED = b""


@contextmanager
def connection(client: httpx.Client) -> Iterator[socket.socket]:
    """To the server that a client is of; what it reads waits for at most a minute."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=60) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


def read(made: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer: status, headers by small names, and the body, whose length it must say."""
    with made.makefile("rb", buffering=0) as stream:
        status = int(stream.readline().split()[1])
        lines = iter(lambda: stream.readline().decode("latin1").strip(), "")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        left = int(headers["content-length"])
        body = b""
        while len(body) < left and (piece := stream.read(left - len(body))):
            body += piece
        return status, headers, body


def document(answer: tuple[int, dict[str, str], bytes], status: int) -> dict[str, Any]:
    """The problem document of an answer with that status, after which the server closes."""
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/problem+json"
    assert answer[1]["connection"] == "close"
    found: dict[str, Any] = json.loads(answer[2])
    assert {"type", "title", "status", "detail"} <= set(found)
    assert found["status"] == status
    return found


def post(path: str, body: bytes, *lines: str, length: bool = True) -> bytes:
    """A request with a JSON body."""
    given = [f"POST {path} HTTP/1.1", "Host: fewstep", "Content-Type: application/json", *lines]
    given += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*given, "", ""]).encode() + body
