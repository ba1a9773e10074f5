"""What only the code knows, counted where it happens: a line there, everything else here.

One registry a process, as with any Prometheus client. An observation costs one to two microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from coordinator.observability.catalogue import CATALOGUE
from verifier.errors import W3bstreamError

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and Prometheus sees a reset without them
REGISTRY = CollectorRegistry()
"""What this process counted, and the process itself."""
ProcessCollector(registry=REGISTRY)


def _counter(name: str) -> Counter:
    metric = CATALOGUE[name]
    return Counter(name, metric.help, metric.labels, registry=REGISTRY)


def _gauge(name: str) -> Gauge:
    metric = CATALOGUE[name]
    return Gauge(name, metric.help, metric.labels, registry=REGISTRY)


def _histogram(name: str) -> Histogram:
    metric = CATALOGUE[name]
    return Histogram(name, metric.help, metric.labels, registry=REGISTRY, buckets=metric.buckets)


_calls = _counter("w3bstream_api_calls_total")
_call_seconds = _histogram("w3bstream_api_call_seconds")
_quota = _counter("w3bstream_quota_refusals_total")
_transactions = _histogram("w3bstream_ledger_transaction_seconds")
_ledger_errors = _counter("w3bstream_ledger_errors_total")
_rpc = _histogram("w3bstream_rpc_seconds")
_rpc_errors = _counter("w3bstream_rpc_errors_total")
_breaks = _gauge("w3bstream_reconcile_breaks")
_compared = _gauge("w3bstream_reconcile_timestamp_seconds")
_spans = _counter("w3bstream_spans_total")


class Call:
    """An API call under way; `end` counts it.

    Parameters: `method` is gRPC's, `/package.Service/Name`, of a method that exists; `long` is a stream, whose length
    says nothing.
    """

    __slots__ = ("_began", "_method")

    def __init__(self, method: str, *, long: bool = False) -> None:
        self._method = method.rpartition(".")[2]
        self._began = 0.0 if long else time.perf_counter()

    def end(self, code: str = "OK", *, over_quota: bool = False) -> None:
        """It ended, with an error code or well."""
        _calls.labels(self._method, code).inc()
        if over_quota:
            _quota.labels(code).inc()
        if self._began:
            _call_seconds.labels(self._method).observe(time.perf_counter() - self._began)


@contextmanager
def ledger_transaction() -> Iterator[None]:
    """Time a ledger's transaction, the wait for its turn included."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _transactions.observe(time.perf_counter() - began)


def ledger_failed(code: str) -> None:
    """The database refused or was away."""
    _ledger_errors.labels(code).inc()


def endpoint_of(url: str) -> str:
    """How a server is called in metrics and spans: host and port alone, for a URL may hold an access token."""
    return urlsplit(url).netloc.rpartition("@")[2] or "none"


@contextmanager
def rpc_call(endpoint: str, method: str) -> Iterator[None]:
    """Time one JSON-RPC call, and count how it failed."""
    began = time.perf_counter()
    try:
        yield
    except W3bstreamError as error:
        _rpc_errors.labels(endpoint, method, error.code).inc()
        raise
    finally:
        _rpc.labels(endpoint, method).observe(time.perf_counter() - began)


def compared(breaks: Mapping[str, int]) -> None:
    """A whole comparison ended with these breaks, by error code."""
    _breaks.clear()
    for code, count in breaks.items():
        _breaks.labels(code).set(count)
    _compared.set_to_current_time()


def spans_sent(count: int, *, well: bool) -> None:
    """Spans were handed to the collector, or could not be."""
    _spans.labels("sent" if well else "failed").inc(count)
