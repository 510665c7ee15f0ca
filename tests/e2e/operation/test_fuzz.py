"""What nobody thought of: requests that the schema makes up, and requests that are none.

Shortened in the whole suite; ``make fuzz`` takes three minutes, as continuous integration does.
"""

import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.operation.malformed import malformed
from tests.e2e.stack import Stack
from tests.processes import ROOT

SECONDS = int(os.environ.get("FUZZ_SECONDS", "6"))
"""Of requests that the schema makes up."""
SEED = os.environ.get("FUZZ_SEED", "7")
"""``random`` for another one each time; a failure names it."""
MALFORMED = 2000 if "FUZZ_SECONDS" in os.environ else 500
ANSWER_WITHIN_S = 60
"""Far more than the limits of the API, since the machine may be busy."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
TROUBLE = re.compile('Traceback|Fatal error|"exception"|unexpected')

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 600)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_family: Path) -> Iterator[Stack]:
    """The service, of which nobody can ask much."""
    few = {"FEWSTEP_MAX_IMAGES": "4", "FEWSTEP_MAX_BULK_IMAGES": "8", "FEWSTEP_MAX_ACTIVE_JOBS": "100000"}
    short = {"FEWSTEP_HEADER_TIMEOUT_S": "1", "FEWSTEP_BODY_TIMEOUT_S": "1", "FEWSTEP_DEADLINE_S": "10"}
    stack = Stack(tmp_path_factory.mktemp("fuzz"), tiny_family.parent, **few, **short)
    stack.ensure_ready()
    yield stack
    stack.close()


def test_requests_by_the_schema_get_answers_by_the_schema(stack: Stack, tmp_path: Path) -> None:
    """No 5xx beyond the documented 503 and 504, and no status, header or body that the schema does not have."""
    base = f"http://127.0.0.1:{stack.ports['api']}"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(Path(__file__).with_name("fuzz.toml"))]
    command += ["run", f"{base}/openapi.json", "--max-time", str(SECONDS), "--checks", ",".join(CHECKS)]
    command += [] if SEED == "random" else ["--seed", SEED]
    command += ["--request-timeout", str(ANSWER_WITHIN_S), "--generation-database", "none"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert stack.api.get("/livez").status_code == 200
    assert TROUBLE.findall(stack.log("api")) == []


def test_what_is_no_request_finds_no_hang_and_no_traceback(stack: Stack) -> None:
    def send(number: int, given: bytes) -> list[int]:
        with socket.create_connection(("127.0.0.1", stack.ports["api"]), timeout=ANSWER_WITHIN_S) as made:
            answer = b""
            try:
                made.sendall(given)
                if number % 2:  # nothing more will come; else the API has to lose patience
                    made.shutdown(socket.SHUT_WR)
                while not answer.count(b"\r\n\r\n") and (piece := made.recv(65536)):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):  # it closed while there was more to read
                pass
        return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer)]

    seed = random.randrange(2**32) if SEED == "random" else int(SEED)
    with ThreadPoolExecutor(64) as senders:
        answers = list(senders.map(send, range(MALFORMED), malformed(MALFORMED, seed=seed)))
    print(f"FUZZ_SEED={seed}")
    statuses = {status for found in answers for status in found}
    assert len(answers) == MALFORMED
    assert {200, 400, 404, 405, 408, 413, 415, 422, 431} <= statuses
    assert {status for status in statuses if status >= 500} <= {503, 504}
    assert stack.api.get("/livez").status_code == 200
    assert TROUBLE.findall(stack.log("api")) == []
