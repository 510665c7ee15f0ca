"""What comes over the wire: bodies beside offers of other protocols, slow clients, and what cannot be read."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.app.conftest import Api
from tests.app.wire import CLOSED, connection, document, post, read
from tests.processes import Process, free_port, wait_until

ASYNC = "Prefer: respond-async"
OFFERS = [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
    (
        "Connection: upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {22 * 'd'}==",
    ),
    ("Connection: Upgrade", "Upgrade: TLS/1.3, HTTP/3.0"),
    ("Connection: keep-alive, Upgrade", "Upgrade: anything"),
]
TIMEOUT_S = 1.0
MOST_HEADERS = 2048


@pytest.fixture(scope="module")
def strict(_running: Api) -> Iterator[tuple[Process, httpx.Client]]:
    """An API with short limits."""
    seconds = {f"FEWSTEP_{kind}_TIMEOUT_S": str(TIMEOUT_S) for kind in ("HEADER", "BODY")}
    process, client = _running.start(**seconds, FEWSTEP_MAX_HEADER_BYTES=str(MOST_HEADERS))
    yield process, client
    client.close()
    process.stop()


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer[1])
def test_a_body_beside_an_offer_to_upgrade_arrives(api: Api, offer: tuple[str, ...], in_pieces: bool) -> None:
    body = b'{"n":3}'
    request = post("/generate", body, ASYNC, *offer)
    chunks = b"7\r\n" + body + b"\r\n0\r\n\r\n"
    chunked = post("/generate", chunks, ASYNC, "Transfer-Encoding: chunked", *offer, length=False)
    with connection(api.client) as made:
        for given in (request, chunked, request):  # on one connection, which stays what it was
            head, _, rest = given.partition(b"\r\n\r\n")
            for piece in (head + b"\r\n\r\n", rest[:2], rest[2:]) if in_pieces else (given,):
                made.sendall(piece)
            status, _, answer = read(made)
            assert (status, json.loads(answer)["n"]) == (202, 3)


@pytest.mark.slow
def test_under_a_server_that_drops_it_a_body_that_was_announced_is_missed(api: Api) -> None:
    port = free_port()
    module = ("uvicorn", "app.main:app", "--http", "httptools", "--port", str(port))
    environment = {"FEWSTEP_REDIS_URL": api.redis_server.url}
    process = Process(*module, environment=environment, log=api.folder / "httptools.log")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: "Uvicorn running" in process.log.read_text(), what="uvicorn started")
            for framing, length in (((), True), (("Transfer-Encoding: chunked",), False)):
                with connection(client) as made:
                    made.sendall(post("/generate", b'{"n":3}', ASYNC, *OFFERS[0], *framing, length=length))
                    assert "announce" in document(read(made), 400)["detail"]
    finally:
        process.stop()


def test_a_body_that_never_ends_is_cut_off(strict: tuple[Process, httpx.Client]) -> None:
    """Three hundred at once, while others are served."""
    with ExitStack() as stack:
        held = [stack.enter_context(connection(strict[1])) for _ in range(300)]
        for made in held:
            made.sendall(post("/generate", b'{"n":3}')[:-1])
        assert strict[1].get("/livez").status_code == 200
        for made in held:
            assert "body" in document(read(made), 408)["detail"]
            assert made.recv(1) == CLOSED
    chunked = post("/generate", b"1\r\n{", "Transfer-Encoding: chunked", length=False)
    with connection(strict[1]) as made:
        made.sendall(chunked)
        document(read(made), 408)


def test_headers_that_never_end_are_cut_off(strict: tuple[Process, httpx.Client]) -> None:
    whole = b"GET /livez HTTP/1.1\r\nHost: fewstep\r\n\r\n"
    with connection(strict[1]) as silent, connection(strict[1]) as half, connection(strict[1]) as later:
        half.sendall(whole[:-2])
        later.sendall(whole + whole[:9])
        assert read(later)[0] == 200
        for made in (half, later):
            assert "headers" in document(read(made), 408)["detail"]
            assert made.recv(1) == CLOSED
        assert silent.recv(1) == CLOSED


def test_who_is_slow_and_complete_is_served(strict: tuple[Process, httpx.Client]) -> None:
    """Time limits are of one request and not of a connection."""
    with connection(strict[1]) as made:
        for _ in range(3):
            for piece in (b"GET /livez HTTP/1.1\r\n", b"Host: fewstep\r\n\r\n"):
                made.sendall(piece)
                wait_until(lambda: strict[1].get("/livez").status_code == 200, what="another request")
            assert read(made)[0] == 200


@pytest.mark.parametrize("size", [MOST_HEADERS, 40 * MOST_HEADERS])
def test_headers_over_the_limit(strict: tuple[Process, httpx.Client], size: int) -> None:
    long = post("/generate", b"{}", f"Cookie: {size * 'a'}")
    many = post("/generate", b"{}", *[f"X-{index}: {size // 64 * 'a'}" for index in range(64)])
    query = f"GET /livez?{size * 'a'} HTTP/1.1\r\nHost: fewstep\r\n\r\n".encode()
    for given in (long, many, query):
        with connection(strict[1]) as made:
            made.sendall(given)
            document(read(made), 431)


@pytest.mark.parametrize(
    "given",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + 40 * b"\x00" + b"\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /l\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_cannot_be_read_is_a_problem(api: Api, given: bytes) -> None:
    with connection(api.client) as made:
        made.sendall(given)
        document(read(made), 400)
        assert made.recv(1) == CLOSED


def test_what_cannot_be_read_of_a_head_request_has_no_body_in_its_answer(api: Api) -> None:
    with connection(api.client) as made:
        made.sendall(b"HEAD /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
        answer = b""
        while piece := made.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
