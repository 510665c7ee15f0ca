"""Requests that no client should send, made from sound ones by chance."""

import random
from collections.abc import Callable, Iterator

PATHS = (
    "/livez",
    "/readyz",
    "/models",
    "/generate",
    "/generate/x",
    "/distill-jobs",
    "/distill-jobs/x/events",
    "/nowhere/",
)
FRAMING = (
    b"Content-Length: 0",
    b"Content-Length: 7",
    b"Content-Length: 70000",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: +7",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
)
LINES = (
    b"Expect: 100-continue",
    b"Expect: something",
    b"Host: \xff\xfe",
    b"Host:",
    b"Accept: \x00",
    b"Accept: image/png;q=nan, */*;q=1e999",
    b"Prefer: respond-async",
    b"Idempotency-Key: \xe4",
    b"Last-Event-ID: 99999999999999999999-0",
    b"X-Request-ID: \x7f",
    b"traceparent: 00-" + 40 * b"z",
    b" folded: line",
    b"no colon",
    b": no name",
    b"Cookie: " + 40_000 * b"c",
)
BODIES = (
    b"",
    b'{"n":1}',
    b'{"n":',
    b"[" * 5000,
    b"\xff\xfe",
    b'{"n":1e400}',
    b'{"seed":' + 5000 * b"9" + b"}",
    b"7\r\n" + b'{"n":1}',
)
CHUNKS = (
    b"7\r\n" + b'{"n":1}' + b"\r\n0\r\n\r\n",
    b"zz\r\n",
    b"ffffffffffffffffff\r\n",
    b"-1\r\n\r\n",
    b"1;" + 9000 * b"x",
    b"1\r\nab\r\n",
)


def _cut(given: bytes, draw: random.Random) -> bytes:
    return given[: draw.randrange(len(given) + 1)]


def _flip(given: bytes, draw: random.Random) -> bytes:
    changed = bytearray(given)
    for _ in range(draw.randint(1, 4)):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _insert(given: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(given) + 1)
    return given[:place] + draw.randbytes(draw.choice((1, 2, 30, 3000))) + given[place:]


def _double(given: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(given) + 1)
    end = draw.randrange(start, len(given) + 1)
    return given[:end] + given[start:]


def _end_lines_otherwise(given: bytes, draw: random.Random) -> bytes:
    return given.replace(b"\r\n", draw.choice((b"\n", b"\r", b"\r\r\n", b"\x00\r\n")), draw.choice((-1, 1)))


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut,
    _flip,
    _insert,
    _double,
    _end_lines_otherwise,
    lambda given, _: given,
)


def malformed(count: int, *, seed: int) -> Iterator[bytes]:
    """So many requests, or several behind each other, the same for a seed; a few are sound after all."""
    draw = random.Random(seed)
    for _ in range(count):
        given = b"".join(_request(draw) for _ in range(draw.choice((1, 1, 1, 2, 3))))
        for _ in range(draw.randint(1, 2)):
            given = draw.choice(CHANGES)(given, draw)
        yield given or b"\x00"


def _request(draw: random.Random) -> bytes:
    method = draw.choice(("GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PRI", "get"))
    target = draw.choice((*PATHS, "*", "http://a/livez", "//", "/%ff%00", "/generate?n=%ZZ", "/" + 300 * "a/", "a:1"))
    version = draw.choice(("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", ""))
    kind = draw.choice((b"application/json", b"application/json; charset=x", b"text/plain"))
    lines = [f"{method} {target} {version}".encode(), b"Host: fewstep", b"Content-Type: " + kind]
    lines += draw.sample(FRAMING, draw.choice((0, 0, 1, 1, 2))) + draw.sample(LINES, draw.choice((0, 0, 0, 1, 3)))
    return b"\r\n".join([*lines, b"", b""]) + draw.choice((*BODIES, *CHUNKS))
