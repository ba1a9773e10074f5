"""Samples of the catalogue's families, as the Prometheus client writes them out."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from coordinator.observability.catalogue import CATALOGUE

Labels = tuple[str, ...]
PROJECT = "project"


class Distribution:
    """A histogram of seconds, kept by hand: its samples come from the ledger, many at a time."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self.buckets = buckets
        """Upper bounds, ascending."""
        self.counts = [0] * (len(buckets) + 1)
        """Samples between two bounds; the last one is above all."""
        self.total = 0.0
        """Sum of the samples."""

    def add(self, value: float) -> None:
        """One sample."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """(bound, samples at or below it), `+Inf` last."""
        found, below = [], 0
        for bound, count in zip([*map(str, self.buckets), "+Inf"], self.counts, strict=True):
            below += count
            found.append((bound, float(below)))
        return found


def labels_of(name: str, by_project: bool = False) -> Labels:
    """The labels of a family."""
    metric = CATALOGUE[name]
    return (*metric.labels, PROJECT) if by_project and metric.by_project else metric.labels


def family(name: str, values: Mapping[Any, float], *, by_project: bool = False) -> Family:
    """A counter or gauge with a value for each set of labels."""
    metric = CATALOGUE[name]
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    made: Family = kind(name, metric.help, labels=labels_of(name, by_project))
    for labels in sorted(values):
        made.add_metric(labels, values[labels])  # type: ignore[attr-defined]
    return made


def histogram(name: str, values: Mapping[Labels, Distribution]) -> Family:
    """A histogram for each set of labels."""
    metric = CATALOGUE[name]
    made = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for labels in sorted(values):
        made.add_metric(labels, values[labels].cumulative(), values[labels].total)
    return made


def summed(rows: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
    """Values under the same labels added up."""
    found: defaultdict[Labels, float] = defaultdict(float)
    for labels, value in rows:
        found[labels] += value
    return dict(found)
