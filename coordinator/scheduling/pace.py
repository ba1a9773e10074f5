"""How fast programs are proven, and what follows: how many leases a worker may hold, and when an attempt takes long."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from coordinator.scheduling.values import Limits

RECENT = 32
"""Latest proofs of a program that say whether its tasks are tiny."""
KEPT = 256
"""Latest attempts of a kind and program that make its p95."""
Program = tuple[str, str]
"""(kind, program id)."""


def queue_depth(seconds: float | None, limits: Limits) -> int:
    """Leases that a worker may hold whose tasks take `seconds` each; one where nothing was measured yet."""
    if seconds is None:
        return 1
    return max(1, min(limits.queue_most, int(limits.queue_ms / 1000 / max(seconds, 1e-6))))


def percentile(samples: Iterable[int], share: float) -> int:
    """The nearest-rank percentile: the least sample with at least `share` (0 to 1) of all samples at or below it.
    Raises ValueError without samples."""
    ranked = sorted(samples)
    if not ranked:
        raise ValueError("no samples")
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


class Pace:
    """Times of the latest proofs. Parameters: the policy's `limits`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._proving: dict[Program, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._whole: dict[Program, deque[int]] = defaultdict(lambda: deque(maxlen=KEPT))

    def note(self, program: Program, whole_ms: int, seconds: float | None = None) -> None:
        """Take in a proof: `whole_ms` from its start to its report, `seconds` the worker's own part."""
        self._whole[program].append(whole_ms)
        if seconds is not None:
            self._proving[program].append(seconds)

    def depth(self, kind: str) -> int:
        """Leases that a worker of the kind may hold: by the mean of the recent proofs of the kind's slowest program, so
        that what waits at a worker is not expected to take longer than `queue_ms`."""
        means = [sum(times) / len(times) for (each, _), times in self._proving.items() if each == kind]
        return queue_depth(max(means, default=None), self._limits)

    def long_after(self) -> Mapping[Program, int]:
        """Milliseconds after which an attempt takes long, for each program with samples enough: p95, and never less
        than the floor."""
        return {
            program: max(self._limits.hedge_floor_ms, percentile(times, 0.95))
            for program, times in self._whole.items()
            if len(times) >= self._limits.hedge_samples
        }
