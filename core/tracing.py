"""Where the time of a request goes, over all processes, told to a receiver of OpenTelemetry's protocol.

Off unless ``FEWSTEP_OTLP_ENDPOINT`` is set; without it nothing is imported and the functions here do nothing. A trace
goes from process to process as a ``traceparent``, W3C's line of text, in the record of a generation.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from core.errors import FewstepError
from core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Kind = Literal["INTERNAL", "SERVER", "PRODUCER", "CONSUMER"]

_provider: "TracerProvider | None" = None


def start_tracing(settings: Settings, service: str) -> None:
    """Send spans of this process, as the service of that name, if the settings say where to.

    ``OTEL_*`` variables apply: ``OTEL_TRACES_SAMPLER`` says how many requests are traced, and
    ``OTEL_EXPORTER_OTLP_HEADERS`` has what the receiver wants to see.

    Raises:
        FewstepError: The settings say where to, and the extra ``otel`` is not installed.
    """
    global _provider
    endpoint = settings.otlp_endpoint.get_secret_value()
    if not endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise FewstepError("FEWSTEP_OTLP_ENDPOINT needs the extra otel: pip install '.[otel]'") from error
    _provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def stop_tracing() -> None:
    """Send what has not been sent yet. An interpreter that comes to its end, and is not ended, does so by itself."""
    if _provider is not None:
        _provider.shutdown()


def span(
    name: str,
    *,
    parent: str = "",
    links: Iterable[str] = (),
    began: float | None = None,
    kind: Kind = "INTERNAL",
    **facts: str | int,
) -> AbstractContextManager[None]:
    """A context manager: what happens meanwhile is a span, and spans within are below it.

    Args:
        name: What happens.
        parent: The ``traceparent`` that it is below; without one, the span around it in this thread, if there is one.
        links: The ``traceparent`` of each request that it serves, any number of times; asked for only if tracing is on.
        began: Seconds since the epoch, if it began before.
        kind: OpenTelemetry's word for what this process is to it.
        facts: Attributes, under their names after ``fewstep.``.
    """
    if _provider is None:
        return nullcontext()
    return _span(_provider, name, parent, links, began, kind, facts)


class OpenSpan:
    """A span that ends when it is told to, in whatever thread.

    Attributes:
        traceparent: The line that makes other spans children of it; empty while tracing is off.
    """

    def __init__(self, name: str, *, parent: str = "", kind: Kind = "INTERNAL", **facts: str | int) -> None:
        """It begins now; arguments as of ``span``."""
        self._span: Span | None = None
        self.traceparent = ""
        if _provider is not None:
            from opentelemetry.trace import SpanKind

            self._span = _provider.get_tracer("fewstep").start_span(
                name,
                context=_context(parent) if parent else None,
                kind=SpanKind[kind],
                attributes=_attributes(facts),
            )
            with self.around():
                self.traceparent = traceparent()

    def around(self) -> AbstractContextManager[object]:
        """A context manager: spans within are below it, and ``describe`` is about it."""
        if self._span is None:
            return nullcontext()
        from opentelemetry.trace import use_span

        return use_span(self._span)

    def end(self) -> None:
        """It ends now."""
        if self._span is not None:
            self._span.end()


def describe(name: str, *, failed: bool, **facts: str | int) -> None:
    """Say of the span around this, if there is one, what is known only now: its name, its end, facts as in ``span``."""
    if _provider is not None:
        from opentelemetry.trace import StatusCode, get_current_span

        current = get_current_span()
        current.update_name(name)
        current.set_attributes(_attributes(facts))
        if failed:
            current.set_status(StatusCode.ERROR)


def traceparent() -> str:
    """The line that makes another process's spans children of the span around this; empty while tracing is off."""
    if _provider is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def _span(
    provider: "TracerProvider",
    name: str,
    parent: str,
    links: Iterable[str],
    began: float | None,
    kind: Kind,
    facts: dict[str, str | int],
) -> Iterator[None]:
    from opentelemetry.trace import Link, SpanKind, get_current_span

    requests = [get_current_span(_context(line)).get_span_context() for line in dict.fromkeys(links)]
    with provider.get_tracer("fewstep").start_as_current_span(
        name,
        context=_context(parent) if parent else None,
        kind=SpanKind[kind],
        attributes=_attributes(facts),
        links=[Link(request) for request in requests if request.is_valid],
        start_time=None if began is None else int(1e9 * began),
    ):
        yield


def _context(line: str) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": line}, Context())


def _attributes(facts: dict[str, str | int]) -> dict[str, str | int]:
    return {f"fewstep.{name}": value for name, value in facts.items()}
