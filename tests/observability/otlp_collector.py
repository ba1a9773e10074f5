"""Test only: an OpenTelemetry collector that keeps what it is told, over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Its spans, in the order in which they came; `refuses` makes it answer with an error that no client tries again."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.refuses = False
        self.endpoint = ""

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take spans."""
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not today")
        for resource in request.resource_spans:
            self.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """One on a free port of loopback."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(0).wait()


def text_of(span: Any, key: str) -> str:
    """A text attribute of a span; empty when it has none."""
    return next((str(each.value.string_value) for each in span.attributes if each.key == key), "")
