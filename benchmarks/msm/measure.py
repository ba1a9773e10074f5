"""One case measured: every contender sums the same points in turn, and every sum is compared with the known one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.msm.contenders import OURS, Case, Figure, Figures
from benchmarks.msm.programs import Program

SEED = 20260401


class WrongSum(AssertionError):
    """A library gave another point than the sum is."""


@dataclass(frozen=True)
class Bench:
    """The programs of one number of threads; without Go there is no gnark."""

    threads: int
    rust: Program
    go: Program | None
    folder: Path

    def draw(self, group: str, counts: Sequence[int]) -> Mapping[int, str]:
        """Random points and scalars for both programs, and the sum of the first so many, for each count."""
        files = {"points": str(self.folder / "points"), "scalars": str(self.folder / "scalars")}
        drawn = self.rust.ask("generate", group=group, seed=SEED, counts=list(counts), **files)
        for program in (self.rust, self.go):
            if program is not None:
                program.ask("load", group=group, **files)
        return {int(count): sum_ for count, sum_ in drawn["sums"].items()}


@dataclass(frozen=True)
class Contender:
    """A library, or one of our ways."""

    name: str
    library: str
    options: Mapping[str, Any] | None = None

    def request(self, case: Case) -> dict[str, Any]:
        """What to ask a program for."""
        options = {} if self.options is None else {"options": self.options}
        return {"library": self.library, "group": case.group, "count": case.count} | options


def contenders(peers: Sequence[str], *, portable: bool) -> list[Contender]:
    """Our ways, then the peers; last, as slowest, our ways without IFMA."""
    ways = [Contender(way, "ours", options) for way, options in OURS.items()]
    fast = [way for way in ways if not way.name.startswith("portable")]
    slow = [way for way in ways if way not in fast] if portable else []
    return [*fast, *(Contender(peer, peer) for peer in peers), *slow]


@dataclass(frozen=True)
class Clock:
    """When to stop, on the monotonic clock; nothing means never."""

    rounds_until: float | None = None
    """No round after the first begins later."""
    ends: float | None = None
    """No sum at all begins later: what was not measured by then is missing."""

    def may_begin(self, number: int) -> bool:
        """Whether a sum of that round may begin."""
        limit = self.rounds_until if number else self.ends
        return limit is None or time.monotonic() < limit


def measure(bench: Bench, case: Case, among: Sequence[Contender], expected: str, rounds: int, clock: Clock) -> Figures:
    """Rounds in which each contender sums once. The first one is for memory too. Raises WrongSum and ProgramError."""
    found: Figures = {}
    for number in range(rounds):
        for contender in among:
            program = bench.go if contender.library == "gnark" else bench.rust
            if program is None or (number and contender.name not in found) or not clock.may_begin(number):
                continue
            answer = program.ask("sum", **contender.request(case), memory=number == 0)
            if "sum" not in answer:
                continue
            if answer["sum"] != expected:
                raise WrongSum(f"{contender.name} at {case}: {answer['sum']} instead of {expected}")
            found.setdefault(contender.name, Figure()).take(answer)
    for contender in among:
        if contender.library != "gnark":
            bench.rust.ask("forget", **contender.request(case))
    return found
