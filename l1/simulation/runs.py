"""Many seeds, on one core or several, with progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from l1.simulation.plan import Wish, draw
from l1.simulation.world import OURS, Report, Rule, World

PROGRESS_EVERY = 2.0
"""Seconds between two lines of progress."""
_CHUNK = 16


def run_one(seed: int, wish: Wish, rule: Rule = OURS, *, signed: bool = False) -> Report:
    """One run from its seed. The same arguments give the same report, always."""
    return World(draw(seed, wish), rule, signed=signed).run()


def run_all(
    seeds: Iterable[int], wish: Wish, rule: Rule = OURS, *, signed: bool = False, jobs: int = 1
) -> Iterator[Report]:
    """A run of every seed, in the order of the seeds."""
    one = partial(run_one, wish=wish, rule=rule, signed=signed)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, seeds, chunksize=_CHUNK)


class Progress:
    """Says on stderr how far a campaign is, at most every two seconds."""

    def __init__(
        self,
        total: int,
        write: Callable[[str], object] = sys.stderr.write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._write = write
        self._clock = clock
        self._started = self._said = clock()
        self._done = self._heights = self._violations = 0

    def add(self, report: Report) -> None:
        """Count a run."""
        self._done += 1
        self._heights += report.heights
        self._violations += len(report.violations)
        now = self._clock()
        if now - self._said >= PROGRESS_EVERY:
            self._said = now
            speed = self._done / (now - self._started)
            counts = f"{self._done}/{self._total} runs, {self._heights} heights, {self._violations} violations"
            self._write(f"{counts}, {speed:.0f} runs/s\n")
