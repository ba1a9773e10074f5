"""The figures' targets, and how a part says what it found."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

WIDTH = 120
LOAD = "load_at_start"
"""The load average of the last minute when a part began: a ratio that was taken on a busy machine says so."""


@dataclass(frozen=True)
class Target:
    """A bound that a figure must keep."""

    bound: float
    is_floor: bool = True
    """The figure must reach the bound; else it must not pass it."""

    def __str__(self) -> str:
        return f"{'≥' if self.is_floor else '≤'} {self.bound:g}"

    def is_met(self, value: float) -> bool:
        """Whether the figure keeps it."""
        return value >= self.bound if self.is_floor else value <= self.bound


def at_least(bound: float) -> Target:
    """A floor."""
    return Target(bound)


def at_most(bound: float) -> Target:
    """A ceiling."""
    return Target(bound, is_floor=False)


TARGETS: Mapping[str, Target] = {
    "job_vs_ray": at_least(0.30),
    "job_vs_celery": at_least(1.5),
    "latency_p50_ms": at_most(5),
    "latency_p99_ms": at_most(25),
    "submit_vs_grpc": at_least(0.50),
    "intake_vs_nats": at_least(0.50),
    "webhook_vs_aiohttp": at_least(0.50),
    "scale_efficiency": at_least(0.85),
    "memory_mib_per_10k": at_most(1),
    "release_seconds": at_most(31),
    "restart_seconds": at_most(5),
    "lost": at_most(0),
    "doubled": at_most(0),
}


def load_average() -> float:
    """Processes that ran or waited to run, averaged over the last minute."""
    return os.getloadavg()[0]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A part's options: its own come on top of `--json`."""
    found = argparse.ArgumentParser(
        description=(doc or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    return found


def value_text(value: float) -> str:
    """A figure as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"


def show(title: str, found: Mapping[str, float], *, as_json: bool, first: Sequence[str] = ()) -> None:
    """Print the figures with their targets, those with a target and those named `first` on top."""
    console = Console(width=WIDTH)
    load = f", load average at start {found[LOAD]:.2f}" if LOAD in found else ""
    console.print(f"{title}{load}, {os.cpu_count()} CPUs")
    table = Table()
    for name, justify in (("figure", "left"), ("value", "right"), ("target", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    names = sorted(found, key=lambda name: (name not in TARGETS, name not in first))
    for name in names:
        target = TARGETS.get(name)
        verdict = "" if target is None else "met" if target.is_met(found[name]) else "NOT MET"
        if name != LOAD:
            table.add_row(name, value_text(found[name]), str(target or ""), verdict)
    console.print(table)
    if as_json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}), flush=True)
