"""Finality in simulated time, and how fast the simulator is."""

from __future__ import annotations

import time
from dataclasses import dataclass

from l1.consensus.parameters import IIP_51
from l1.simulation.network import Weather
from l1.simulation.plan import Plan
from l1.simulation.world import World

LINK_MS = 50
"""Delay of every link, one way."""
BOUND_MS = 2 * 4 * LINK_MS
"""Twice the sum of the delays of a proposal and three votes."""


@dataclass(frozen=True)
class Simulated:
    """One run without faults and without signatures."""

    delegates: int
    finality_ms: int
    """The longest time from a proposal to the last delegate's decision."""
    heights_per_cpu_second: float


def measure(delegates: int, heights: int) -> Simulated:
    """Run so many heights on links of 50 ms."""
    plan = Plan(1, (1,) * delegates, IIP_51, (Weather(0, LINK_MS, LINK_MS),), heights=heights)
    world = World(plan)
    proposed: dict[int, int] = {}
    decided: dict[int, int] = {}
    note = world.note

    def watch(what: bytes, *details: int | bytes) -> None:
        if what == b"proposal":
            proposed.setdefault(int(details[1]), world.now)
        elif what == b"decided":
            decided[int(details[1])] = world.now
        note(what, *details)

    world.note = watch  # type: ignore[method-assign]
    start = time.process_time()
    report = world.run()
    spent = time.process_time() - start
    assert not report.violations
    waits = [decided[height] - at for height, at in proposed.items() if height in decided]
    return Simulated(delegates, max(waits), report.heights / spent)
