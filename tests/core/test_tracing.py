import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from pydantic import ValidationError

from core import tracing
from core.errors import FewstepError
from core.settings import Settings


def never() -> Iterator[str]:
    raise AssertionError("asked for links while tracing is off")
    yield


def test_off_it_costs_nothing() -> None:
    tracing.start_tracing(Settings(), "test")
    around = tracing.span("anything", links=never())
    assert type(around) is nullcontext
    with around:
        assert tracing.traceparent() == ""
        tracing.describe("still nothing", failed=True)
    tracing.stop_tracing()


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(FewstepError, match=r"FEWSTEP_OTLP_ENDPOINT needs the extra otel"):
        tracing.start_tracing(Settings(otlp_endpoint="http://127.0.0.1:4318"), "test")


def test_an_endpoint_is_an_address() -> None:
    with pytest.raises(ValidationError, match="otlp_endpoint"):
        Settings(otlp_endpoint="collector:4318")


def test_a_strange_parent_begins_a_trace_of_its_own() -> None:
    code = """
from core import tracing
from core.settings import Settings
tracing.start_tracing(Settings(otlp_endpoint="http://127.0.0.1:9"), "test")
tracing._provider._active_span_processor._span_processors = ()  # nothing is sent
for parent in ("", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
    with tracing.span("one", parent=parent, links=["nonsense"]):
        assert len(tracing.traceparent()) == 55
parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
with tracing.span("one", parent=parent):
    assert "a" * 32 in tracing.traceparent()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
