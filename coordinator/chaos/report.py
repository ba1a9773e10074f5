"""What a run shows: for people a live table and a verdict, for programs one JSON object as the last line.

With `--json` the progress goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coordinator.chaos.faults import Fault
from coordinator.chaos.load import Record
from coordinator.chaos.striking import Struck
from coordinator.chaos.verdict import Verdict

LINE_SECONDS = 15.0
"""How often the figures are printed where there is no terminal."""
MOST_BREAKS = 50
"""Breaks that are shown to people; JSON has them all."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    seed: int
    minutes: float
    verdict: Verdict
    faults: Sequence[Struck]
    record: Record
    """The devices'."""
    ended_by_itself: int
    """How often the service ended though nobody killed it, and was started again."""
    drain_seconds: float
    """From the last fault until nothing was under way."""

    @property
    def holds(self) -> bool:
        """Whether the invariants hold."""
        return self.verdict.holds

    def as_dict(self) -> dict[str, Any]:
        """The last line in JSON; the counts are readings."""
        verdict = self.verdict
        return {
            "accepted": verdict.accepted,
            "proven": verdict.proven,
            "settled": verdict.settled,
            "notified": verdict.notified,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "faults": [each.as_dict() for each in self.faults],
            "seed": self.seed,
            "minutes": self.minutes,
            "acknowledged": len(self.record.acknowledged),
            "refused": dict(sorted(self.record.refused.items())),
            "unheard": self.record.unheard,
            "ended_by_itself": self.ended_by_itself,
            "drain_seconds": self.drain_seconds,
            "breaks": [
                {
                    "code": each.code,
                    "subject": each.subject,
                    "project_id": each.project_id,
                    "message": each.message,
                    "next_step": each.next_step,
                }
                for each in verdict.breaks
            ],
        }


class Report:
    """Where the run's progress goes. Close it at the end, whatever happened."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        stream = sys.stderr if as_json else sys.stdout
        self._console = Console(file=stream, width=None if stream.isatty() else 160, highlight=False)
        self._live: Live | None = None
        self._printed = -LINE_SECONDS

    def close(self) -> None:
        """Let go of the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def planned(self, seed: int, faults: Sequence[Fault]) -> None:
        """The schedule, before anything happens."""
        table = Table(title=f"Faults of seed {seed}", title_justify="left")
        for name in ("at, s", "fault", "for, s"):
            table.add_column(name, justify="left" if name == "fault" else "right")
        for each in faults:
            table.add_row(f"{each.at:.1f}", each.kind.value, f"{each.seconds:.1f}")
        self._console.print(table)

    def step(self, text: str) -> None:
        """What the run does now."""
        self._console.print(text, soft_wrap=True)

    def happened(self, text: str) -> None:
        """A fault struck, or the service ended."""
        self._console.print(f"  {text}", soft_wrap=True)

    def figures(self, now: float, counts: dict[str, int], waiting: int, struck: Sequence[Struck]) -> None:
        """How far it is, at `now` seconds of load."""
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        line = f"{now:.0f} s: readings {words}; {waiting} not acknowledged yet"
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, refresh_per_second=2, transient=True)
                self._live.start()
            self._live.update(Group(_struck_table(struck, "Faults"), Text(line)))
        elif now - self._printed >= LINE_SECONDS:
            self._printed = now
            self._console.print(line, soft_wrap=True)

    def outcome(self, outcome: Outcome) -> None:
        """The verdict."""
        self.close()
        verdict, out = outcome.verdict, self._console
        out.print(_struck_table(outcome.faults, "Faults that struck"))
        table = Table(title="Readings", title_justify="left")
        for name in ("accepted", "proven", "settled", "notified", "lost", "doubled"):
            table.add_column(name, justify="right")
        figures = (verdict.accepted, verdict.proven, verdict.settled, verdict.notified, verdict.lost, verdict.doubled)
        table.add_row(*map(str, figures))
        out.print(table)
        for each in verdict.breaks[:MOST_BREAKS]:
            out.print(Text(f"{each.code} {each.subject}: {each.message}", "red"), soft_wrap=True)
        if len(verdict.breaks) > MOST_BREAKS:
            out.print(f"and {len(verdict.breaks) - MOST_BREAKS} more")
        said = "The invariants hold." if outcome.holds else "The invariants do not hold."
        out.print(Text(said, "bold green" if outcome.holds else "bold red"))
        if self._json:
            sys.stdout.write(json.dumps(outcome.as_dict()) + "\n")
            sys.stdout.flush()


def _struck_table(struck: Sequence[Struck], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("at, s", "fault", "for, s", "target"):
        table.add_column(name, justify="right" if name[-1] == "s" and "," in name else "left")
    for each in struck:
        at = "" if each.struck_at is None else f"{each.struck_at:.1f}"
        target = each.target or ("left out" if each.given_up else "")
        table.add_row(at, each.fault.kind.value, f"{each.fault.seconds:.1f}", target)
    return table
