"""Spans of what a worker does, told live to an OpenTelemetry collector (OTLP over gRPC).

Each proof is a span under the `traceparent` (W3C Trace Context) that came with its work, with a span for each stage that
the prover reports. Without a collector nothing is imported, and no span is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from verifier.errors import W3bstreamError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

SERVICE = "w3bstream.prover"
EXPORT_SECONDS = 10
"""Longest wait for the collector."""
DELAY_MS = 1_000
"""How long a span waits for others to go with. A worker that is killed loses what waits."""
MOST_STAGES = 100
"""Spans of stages in one proof; a prover that reports more has its later ones in the span of the proof only."""


class ProofSpans:
    """The span of one proof, and the one of its stage now."""

    def __init__(self, tracer: Tracer, traceparent: str, attributes: Mapping[str, str | int]) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        self._proof = tracer.start_span("worker.prove", parent, SpanKind.SERVER, attributes)
        self._within = set_span_in_context(self._proof)
        self._stage: tuple[str, Span] | None = None
        self._stages = 0

    def stage(self, name: str) -> None:
        """The prover is in this stage now; the one before has ended."""
        if self._stage is not None and self._stage[0] == name:
            return
        self._end_stage()
        if self._stages < MOST_STAGES:
            self._stages += 1
            self._stage = name, self._tracer.start_span(f"prove.{name}", self._within)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._stage[1].end()
            self._stage = None

    def end(self, error: W3bstreamError | None) -> None:
        """The proof is there, or this is why not."""
        from opentelemetry.trace import Status, StatusCode

        self._end_stage()
        if error is not None:
            self._proof.set_attribute("w3bstream.code", error.code)
            self._proof.set_status(Status(StatusCode.ERROR, f"{error.code} {error.message}"))
        self._proof.end()


class WorkerTracing:
    """A worker's way to the collector. Parameters: `endpoint` is its URL, empty for none; `worker_id` says who tells."""

    def __init__(self, endpoint: str, worker_id: str) -> None:
        self._endpoint = endpoint
        self._worker_id = worker_id
        self._tracer: Tracer | None = None

    def begin(self, traceparent: str, attributes: Mapping[str, str | int]) -> ProofSpans | None:
        """Spans for a proof from now on; None where there is no collector, or its work came without a trace."""
        if not (self._endpoint and traceparent):
            return None
        if self._tracer is None:
            self._tracer = self._connected()
        return ProofSpans(self._tracer, traceparent, {"w3bstream.prover": self._worker_id, **attributes})

    def _connected(self) -> Tracer:
        """Spans go out in a thread of their own; those that the collector does not take are dropped."""
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {
            "service.name": SERVICE,
            "service.version": version("w3bstream"),
            "service.instance.id": self._worker_id,
        }
        insecure = not self._endpoint.startswith("https://")
        exporter = OTLPSpanExporter(endpoint=self._endpoint, insecure=insecure, timeout=EXPORT_SECONDS)
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MS))
        return provider.get_tracer(SERVICE)
