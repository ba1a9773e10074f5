"""Who takes part, and what their figures say about each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GROUPS = ("bn254-g1", "bls12-381-g1", "bn254-g2", "bls12-381-g2")
SUMMARY_SIZES = (14, 16)
"""The summary's ratios are the worst of these sizes, where both were measured."""

OURS: Mapping[str, Mapping[str, Any]] = {
    "table": {"table": True},
    "plain": {},
    "portable_table": {"table": True, "portable": True},
    "portable": {"portable": True},
}
"""Our four ways: with precomputed bases and without, on IFMA where there is one and with IFMA switched off."""

WHAT = {
    "table": "ours, precomputed bases",
    "plain": "ours, no table",
    "portable_table": "ours, precomputed, no IFMA",
    "portable": "ours, no table, no IFMA",
    "gnark": "gnark-crypto",
    "blst": "blst",
    "mcl": "mcl",
    "halo2curves": "halo2curves",
    "arkworks": "arkworks",
}

PEERS: Mapping[str, Sequence[str]] = {
    "bn254-g1": ("halo2curves", "gnark", "mcl", "arkworks"),
    "bn254-g2": ("gnark", "mcl", "halo2curves", "arkworks"),
    "bls12-381-g1": ("mcl", "gnark", "blst", "arkworks", "halo2curves"),
    "bls12-381-g2": ("gnark", "blst", "mcl", "arkworks", "halo2curves"),
}
"""The fastest first; `--quick` takes the first three of BLS12-381, which are those that targets name."""

VECTORIZED = {("bls12-381-g1", "mcl")}
"""Peers that use IFMA themselves: no measure for our path without it."""


@dataclass(frozen=True)
class Case:
    """One line of figures that belong together: all of them sum the same 2^log_n points."""

    threads: int
    group: str
    log_n: int

    @property
    def count(self) -> int:
        """Points."""
        return 1 << self.log_n


@dataclass
class Figure:
    """The best of the rounds of one contender."""

    cpu_ms: float = float("inf")
    wall_ms: float = float("inf")
    peak_mib: float = 0.0
    """By how much resident memory rose in a sum, the table not counted."""
    rounds: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)

    def take(self, answer: Mapping[str, Any]) -> None:
        """Put in one more run."""
        self.cpu_ms = min(self.cpu_ms, answer["cpu_ms"])
        self.wall_ms = min(self.wall_ms, answer["wall_ms"])
        self.peak_mib = max(self.peak_mib, answer["peak_mib"] or 0.0)
        self.plan = answer.get("plan") or self.plan
        self.rounds += 1

    @property
    def table_mib(self) -> float:
        """Memory of the precomputed bases."""
        return float(self.plan.get("table_bytes", 0)) / 2**20


Figures = dict[str, Figure]
"""Figures of one case by contender."""


def peers_of(case: Case, figures: Figures, *, scalar: bool = False) -> Figures:
    """The peers' figures; with `scalar` only of those that do without IFMA."""
    left_out = {name for group, name in VECTORIZED if scalar and group == case.group}
    return {name: figure for name, figure in figures.items() if name not in OURS and name not in left_out}


def ratios(case: Case, figures: Figures) -> dict[str, dict[str, float]]:
    """For each peer how many times our CPU time it takes, for each of our ways."""
    return {
        peer: {way: round(theirs.cpu_ms / figures[way].cpu_ms, 3) for way in OURS if way in figures}
        for peer, theirs in peers_of(case, figures).items()
    }


def against_best(case: Case, figures: Figures, way: str) -> float | None:
    """How many times our CPU time the best peer takes."""
    peers = peers_of(case, figures, scalar=way.startswith("portable"))
    if way not in figures or not peers:
        return None
    return min(theirs.cpu_ms for theirs in peers.values()) / figures[way].cpu_ms


def summary(found: Mapping[Case, Figures]) -> dict[str, float | None]:
    """The worst ratio against the best peer on one thread, over the sizes that count, for each group and way.

    `bn254_g1_table` is with precomputed bases, `bn254_g1` without; `_portable` the same with IFMA switched off, against
    peers that do without it too. Where neither size was measured, over those that were; nothing where none was.
    """
    result: dict[str, float | None] = {}
    for group in GROUPS:
        cases = [case for case in found if case.group == group and case.threads == 1]
        counted = [case for case in cases if case.log_n in SUMMARY_SIZES] or cases[-1:]
        for way, suffix in (
            ("table", "_table"),
            ("plain", ""),
            ("portable_table", "_portable_table"),
            ("portable", "_portable"),
        ):
            worst = [ratio for case in counted if (ratio := against_best(case, found[case], way)) is not None]
            result[group.replace("-", "_") + suffix] = round(min(worst), 3) if worst else None
    return result
