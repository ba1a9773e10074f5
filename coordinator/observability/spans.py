"""Live spans: API calls and calls to the chain. Without a collector each costs one look at a variable.

`start_tracing` turns them on for the process. The ids and the timeline of a task's own trace are in `task_trace.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

NAME = "w3bstream"
EXPORT_SECONDS = 10
"""Longest wait for the collector."""
_propagator = TraceContextTextMapPropagator()
_CARRIED = ("traceparent", "tracestate")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


_submitter: ContextVar[str] = ContextVar("submitter", default="")
"""The span of the API call under way, as a traceparent, where its caller named a trace."""


class _Tracing:
    """What is on in this process."""

    provider: TracerProvider | None = None
    tracer: trace.Tracer | None = None


def resource(coordinator: str) -> Resource:
    """Who tells: service name, version and the coordinator's id."""
    return Resource.create(
        {"service.name": NAME, "service.version": version("w3bstream"), "service.instance.id": coordinator}
    )


def exporter_at(endpoint: str) -> OTLPSpanExporter:
    """The way to an OTLP collector (gRPC); TLS where the URL says https."""
    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=EXPORT_SECONDS)


def start_tracing(exporter: SpanExporter, coordinator: str) -> None:
    """Send live spans to the exporter from now on, in a thread of their own; those that it cannot take are dropped."""
    stop_tracing()
    provider = TracerProvider(resource=resource(coordinator), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Tracing.provider, _Tracing.tracer = provider, provider.get_tracer(NAME)


def stop_tracing() -> None:
    """Send what is left and end. It may take as long as the exporter's time-out."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.shutdown()


def tracing() -> bool:
    """Whether live spans are sent."""
    return _Tracing.tracer is not None


@contextmanager
def server_span(method: str, context: Any, *, current: bool = True) -> Iterator[Span]:
    """An API call, under the `traceparent` in its metadata when it has one (W3C Trace Context).

    Parameters: `current` makes what is called meanwhile its children. Not for an async generator: one that is let go
    midway ends in another context.
    """
    tracer = _Tracing.tracer
    if tracer is None:
        yield trace.INVALID_SPAN
        return
    carrier = {str(key): str(value) for key, value in context.invocation_metadata() or () if key in _CARRIED}
    parent: Context = _propagator.extract(carrier)
    name = method.removeprefix("/")
    attributes = {"rpc.system": "grpc", "rpc.method": name.rpartition("/")[2], "rpc.service": name.partition("/")[0]}
    span = tracer.start_span(name, parent, SpanKind.SERVER, attributes)
    given: dict[str, str] = {}
    if traceparent_in(carrier):
        _propagator.inject(given, trace.set_span_in_context(span))
    before = _submitter.get()
    _submitter.set(given.get("traceparent", ""))
    try:
        if current:
            with trace.use_span(span):
                yield span
        else:
            yield span
    finally:
        span.end()
        _submitter.set(before)


@contextmanager
def client_span(name: str, attributes: dict[str, str], traceparent: str = "") -> Iterator[Span]:
    """A call to another service, under the span that is open now or under `traceparent`; without either no span is
    made: loops that only look would bury the rest."""
    tracer = _Tracing.tracer
    parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    if tracer is None or not (traceparent or trace.get_current_span().get_span_context().is_valid):
        yield trace.INVALID_SPAN
        return
    with tracer.start_as_current_span(name, parent, SpanKind.CLIENT, attributes) as span:
        yield span


def trace_headers() -> dict[str, str]:
    """The call under way as a message's headers, when its caller named a trace; else none: a stream that is open for
    hours would gather every task in one trace."""
    submitter = _submitter.get()
    return {"traceparent": submitter} if submitter else {}


def traceparent_in(headers: Mapping[str, str] | None) -> str:
    """The `traceparent` of a message's headers; empty when there is none, or it is not one: anybody may send it."""
    found = (headers or {}).get("traceparent", "")
    return found if _TRACEPARENT.fullmatch(found) else ""


def add_trace_id(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: the open span's trace id, so that a log line leads to its trace."""
    if _Tracing.tracer is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event.setdefault("trace_id", f"{context.trace_id:032x}")
    return event
