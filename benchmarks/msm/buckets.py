"""The honest bucket table: what each construction costs in additions and in time, at equal and at one-third memory.

Full memory is what Luo, Fu and Gong's method wants for the fewest additions, three multiples of every power of the
radix; the third of it is what Brickell, Gordon, McCurley and Wilson's wants at the same window. In that memory each
construction gets the window and stride with the fewest additions, and is timed with those that our planner finds
fastest, which may be others: tables miss caches. Pippenger has no table and stands in both halves alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.msm.additions import ENGINES, Count, least
from benchmarks.msm.contenders import Case
from benchmarks.msm.measure import Bench, Clock, Contender, measure

GROUP = "bn254-g1"
SIZES = range(10, 22)


@dataclass(frozen=True)
class Row:
    """One engine at one size and memory."""

    log_n: int
    memory: str
    """`equal` or `third`."""
    budget: int
    engine: str
    least: Count | None
    """Nothing where the engine has no window that fits."""
    cpu_ms: float | None = None
    plan: Mapping[str, Any] | None = None
    """What was timed."""

    def as_json(self) -> dict[str, Any]:
        """For the last line."""
        found: dict[str, Any] = {"log_n": self.log_n, "memory": self.memory, "budget": self.budget}
        found |= {"engine": self.engine, "cpu_ms": self.cpu_ms, "timed": self.plan}
        return found | ({} if self.least is None else vars(self.least))


def counted(log_n: int) -> list[Row]:
    """Every engine at one size, without times."""
    full = least("luo-fu-gong", 1 << log_n)
    assert full is not None, "without a limit every engine has a window"
    budgets = (("equal", full.table_bytes), ("third", full.table_bytes // 3))
    return [
        Row(log_n, memory, budget, engine, least(engine, 1 << log_n, budget))
        for memory, budget in budgets
        for engine in ENGINES
    ]


def _contender(row: Row) -> Contender:
    if row.engine == "pippenger":
        return Contender("pippenger", "ours", {"engine": "pippenger"})
    table = {"table": True, "engine": row.engine, "memory_bytes": row.budget}
    return Contender(f"{row.engine} {row.memory}", "ours", table)


def timed(bench: Bench, rows: list[Row], rounds: int, clock: Clock) -> list[Row]:
    """The rows of one size with their CPU times, taken in turns. Raises WrongSum and ProgramError."""
    case = Case(bench.threads, GROUP, rows[0].log_n)
    expected = bench.draw(GROUP, [case.count])[case.count]
    among = {contender.name: contender for contender in map(_contender, rows)}
    found = measure(bench, case, list(among.values()), expected, rounds, clock)
    result = []
    for row in rows:
        figure = found.get(_contender(row).name)
        result.append(row if figure is None else replace(row, cpu_ms=figure.cpu_ms, plan=figure.plan or None))
    return result


def table(bench: Bench, sizes: Iterable[int], most_table_bytes: int, rounds: int, clock: Clock) -> list[Row]:
    """Additions of every size, times of those in `sizes` whose tables may all stand at once."""
    wanted = set(sizes)
    rows: list[Row] = []
    for log_n in SIZES:
        size = counted(log_n)
        fits = sum(row.budget for row in size if row.engine != "pippenger") <= most_table_bytes
        rows += timed(bench, size, rounds, clock) if log_n in wanted and fits and clock.may_begin(0) else size
    return rows
