"""Quotes: what a task is likely to take, from the proofs that were made before it, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator.scheduling.pace import percentile

SAMPLES = 256
"""Newest verified proofs of a program that a quote is taken from."""


@dataclass(frozen=True)
class Finished:
    """A proof that was verified on chain."""

    proving_ms: int
    """From the start of the attempt that proved it to its proof."""
    total_ms: int
    """From the closed window to the mined settlement, waits and lost attempts included."""
    gas: int
    """Of its settlement, and its share of the batches that recorded the task and the assignment."""


@dataclass(frozen=True)
class Range:
    """Half of the samples are at or below `p50`, 95 % at or below `p95` (nearest rank)."""

    p50: int = 0
    p95: int = 0


@dataclass(frozen=True)
class KindQuote:
    """What one proof of one kind took so far; all zero without samples."""

    kind: str
    samples: int
    proving_ms: Range
    total_ms: Range
    gas: Range


@dataclass(frozen=True)
class Estimate:
    """What a task of these kinds is likely to take as a whole."""

    kinds: tuple[str, ...]
    """Those that the estimate counts: the first ones in the project's order, as many as must verify."""
    total_ms: Range
    """Of the slowest of them: they are proven side by side."""
    gas: Range
    """Of all of them."""


def _range(samples: Sequence[int]) -> Range:
    return Range(percentile(samples, 0.5), percentile(samples, 0.95)) if samples else Range()


def quote_kind(kind: str, finished: Iterable[Finished]) -> KindQuote:
    """The figures of one kind."""
    proofs = tuple(finished)
    return KindQuote(
        kind,
        len(proofs),
        _range([each.proving_ms for each in proofs]),
        _range([each.total_ms for each in proofs]),
        _range([each.gas for each in proofs]),
    )


def estimate(kinds: Sequence[KindQuote], threshold: int) -> Estimate | None:
    """A whole task's figures; None where a kind that is counted has no samples, for then nobody knows.

    The sum of several 95th percentiles is more than the 95th percentile of the sum: `gas.p95` is an upper bound.
    """
    counted = tuple(kinds[:threshold])
    if not counted or any(each.samples == 0 for each in counted):
        return None
    times, gas = [each.total_ms for each in counted], [each.gas for each in counted]
    return Estimate(
        tuple(each.kind for each in counted),
        Range(max(each.p50 for each in times), max(each.p95 for each in times)),
        Range(sum(each.p50 for each in gas), sum(each.p95 for each in gas)),
    )
