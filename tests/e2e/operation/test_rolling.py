"""Restarting everything, one process after the other, while clients ask; and what is told of a request meanwhile."""

import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.stack import Stack, is_ready
from tests.processes import NO_TLS, wait_until

DRAIN_S = 3
CLIENTS = 3
SEEDS = range(12)
APIS = ("api-1", "api-2")


class Receiver(BaseHTTPRequestHandler):
    """Takes traces as a collector does."""

    spans: ClassVar[list[tuple[str, Span]]] = []
    """With the name of the service that each is of."""

    def do_POST(self) -> None:
        export = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/traces"
        for resource in export.resource_spans:
            facts = {fact.key: fact.value.string_value for fact in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend((facts["service.name"], span) for span in scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Fleet:
    """Two sampling workers, and two APIs that drain, of which a balancer uses those that are ready."""

    def __init__(self, stack: Stack, **tracing: str) -> None:
        self.stack = stack
        self._tracing = tracing
        self._left = threading.Event()
        self._ready: set[str] = set()
        for name in ("sampler-2", *APIS):
            self.start(name)
        self._balancer = threading.Thread(target=self._look)
        self._balancer.start()

    def start(self, name: str) -> None:
        changes = self._tracing | ({"FEWSTEP_DRAIN_S": str(DRAIN_S)} if name in APIS else {})
        self.stack.start(name, **changes)

    def client(self, name: str) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.stack.ports[name]}", timeout=60, verify=NO_TLS)

    def ask(self, seed: int, **headers: str) -> httpx.Response:
        """Any API that is ready; another one only where the connection is refused."""
        while True:
            with self.client(random.choice(sorted(self._ready) or APIS)) as client:
                try:
                    body = {"seed": seed, "n": 4, "steps": 2}
                    return client.post("/generate", json=body, headers={"Accept": "image/png"} | headers)
                except httpx.ConnectError:
                    time.sleep(0.05)

    def wait_until_whole(self) -> None:
        wait_until(lambda: self._ready == set(APIS) and self._num_workers() == 2, what="all of it ready")

    def close(self) -> None:
        self._left.set()
        self._balancer.join()
        for name in ("sampler-2", *APIS):
            if name in self.stack.processes:
                self.stack.stop(name, signal.SIGKILL if name in APIS else signal.SIGTERM)

    def _look(self) -> None:
        while not self._left.wait(0.1):
            for name in APIS:
                with self.client(name) as client:
                    (self._ready.add if is_ready(client) else self._ready.discard)(name)

    def _num_workers(self) -> int:
        return len(self.stack.api.get("/readyz").json()["checks"]["sampling"].get("workers", {}))


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def fleet(_running: Stack, receiver: str) -> Iterator[Fleet]:
    _running.ensure_ready()
    fleet = Fleet(_running, FEWSTEP_OTLP_ENDPOINT=receiver, OTEL_BSP_SCHEDULE_DELAY="100")
    try:
        fleet.wait_until_whole()
        yield fleet
    finally:
        fleet.close()


def test_a_request_leaves_one_trace_from_the_client_to_its_batch(fleet: Fleet) -> None:
    client = "a" * 16
    services = {
        "POST /generate": "fewstep-api",
        "publish": "fewstep-api",
        "queue": "fewstep-sampling",
        "generate": "fewstep-sampling",
        "batch": "fewstep-sampling",
        "encode": "fewstep-sampling",
    }

    def traced() -> dict[str, tuple[str, Span]]:
        """The spans by name of a request that the worker took which is traced."""
        of_trace: dict[bytes, dict[str, tuple[str, Span]]] = defaultdict(dict)
        for service, span in list(Receiver.spans):
            of_trace[span.trace_id][span.name] = (service, span)
        whole = (spans for spans in of_trace.values() if set(services) <= set(spans))
        return next(whole, {})

    def ask_and_look() -> bool:
        trace = f"{random.getrandbits(128):032x}"
        assert fleet.ask(1, traceparent=f"00-{trace}-{client}-01").status_code == 200
        return bool(traced())

    wait_until(ask_and_look, what="a whole trace")
    spans = traced()
    assert {name: service for name, (service, _) in spans.items()} == services
    by_id = {span.span_id: name for name, (_, span) in spans.items()}
    assert {name: by_id.get(span.parent_span_id, span.parent_span_id.hex()) for name, (_, span) in spans.items()} == {
        "POST /generate": client,
        "publish": "POST /generate",
        "queue": "POST /generate",
        "generate": "POST /generate",
        "batch": "generate",
        "encode": "generate",
    }
    assert [by_id[link.span_id] for link in spans["batch"][1].links] == ["generate"]
    for _, span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano


def test_a_rolling_restart_under_load_loses_nothing(fleet: Fleet) -> None:
    stack = fleet.stack
    expected = {seed: fleet.ask(seed).content for seed in SEEDS}
    assert len(set(expected.values())) == len(SEEDS)
    done = threading.Event()

    def load(number: int) -> int:
        """How many pictures came, all of them right."""
        count = 0
        while not done.wait(0.1):  # as new processes need the processor too
            seed = SEEDS[(count + number) % len(SEEDS)]
            answer = fleet.ask(seed)
            assert answer.status_code == 200, answer.text
            assert answer.content == expected[seed]
            count += 1
        return count

    def restart_api(name: str) -> None:
        with fleet.client(name) as client:
            stopping = threading.Thread(target=stack.stop, args=[name])
            stopping.start()
            wait_until(lambda: client.get("/readyz").status_code == 503, what="not ready")
            wait_until(lambda: client.get("/livez").headers.get("connection") == "close", what="connections closing")
            assert client.post("/generate").status_code == 200
        stopping.join()
        fleet.start(name)

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load, number) for number in range(CLIENTS)]
        try:
            for sampler, api in (("sampler", "api-1"), ("sampler-2", "api-2")):
                fleet.wait_until_whole()
                assert stack.stop(sampler) == 0
                fleet.start(sampler)
                restart_api(api)
        finally:
            done.set()
    assert all(client.result() > 5 for client in clients)
