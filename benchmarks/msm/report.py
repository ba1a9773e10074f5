"""The tables, as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.msm.buckets import GROUP, Row
from benchmarks.msm.contenders import OURS, WHAT, Case, Figures, against_best
from benchmarks.msm.port import floor_ms

WIDTH = 140
TARGETS = {
    "bn254_g1_table": 4.0,
    "bn254_g1": 3.0,
    "bls12_381_g1_table": 3.0,
    "bls12_381_g1": 2.0,
    "bn254_g2_table": 2.5,
    "bls12_381_g2_table": 2.5,
    "bn254_g1_portable_table": 1.3,
    "bls12_381_g1_portable_table": 1.3,
}
"""The ratios that were set as goals."""


def _console() -> Console:
    return Console(width=WIDTH)


def _columns(table: Table, *names: str, left: int) -> None:
    for index, name in enumerate(names):
        table.add_column(name, justify="left" if index < left else "right")


def number(value: float) -> str:
    """Milliseconds or MiB with three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(theirs: float, ours: float | None) -> str:
    return "" if ours is None else f"{theirs / ours:.2f}x"


def _port(case: Case, name: str, plan: Mapping[str, Any], cpu_ms: float, vpmadd52_ns: float | None) -> str:
    if vpmadd52_ns is None or name not in ("table", "plain") or not plan:
        return ""
    return f"{floor_ms(case.group, plan, vpmadd52_ns) / cpu_ms:.0%}"


def show_cases(found: Mapping[Case, Figures], vpmadd52_ns: float | None) -> None:
    """One table for each group and number of threads."""
    for threads, group in dict.fromkeys((case.threads, case.group) for case in found):
        cases = {case: figures for case, figures in found.items() if (case.threads, case.group) == (threads, group)}
        title = f"{group}, {threads} thread{'s' if threads > 1 else ''}: least CPU and wall time of the rounds"
        table = Table(title=title, title_justify="left")
        head = (
            "n",
            "library",
            "CPU ms",
            "wall ms",
            "memory MiB",
            "table MiB",
            "to precomputed",
            "to no table",
            "of port",
        )
        _columns(table, *head, left=2)
        for case, figures in cases.items():
            ways = [figures[way].cpu_ms if way in figures else None for way in ("table", "plain")]
            for index, (name, figure) in enumerate(sorted(figures.items(), key=lambda item: item[1].cpu_ms)):
                table.add_row(
                    f"2^{case.log_n}" if index == 0 else "",
                    f"[bold]{WHAT[name]}[/bold]" if name in OURS else WHAT[name],
                    number(figure.cpu_ms),
                    number(figure.wall_ms),
                    number(figure.peak_mib),
                    number(figure.table_mib) if figure.table_mib else "",
                    *(_ratio(figure.cpu_ms, way) for way in ways),
                    _port(case, name, figure.plan, figure.cpu_ms, vpmadd52_ns),
                )
            table.add_section()
        _console().print(table)


def show_best(found: Mapping[Case, Figures]) -> None:
    """For each case how many times our time the best peer takes."""
    table = Table(title="the best peer's CPU time over ours", title_justify="left")
    _columns(table, "threads", "group", "n", *(WHAT[way] for way in OURS), left=2)
    for case, figures in found.items():
        best = [against_best(case, figures, way) for way in OURS]
        shown = ["" if ratio is None else f"{ratio:.2f}x" for ratio in best]
        table.add_row(str(case.threads), case.group, f"2^{case.log_n}", *shown)
    _console().print(table)


def show_targets(summary: Mapping[str, float | None]) -> None:
    """The summary beside its goals."""
    table = Table(title="the worst of 2^14 and 2^16 against the best peer, one thread", title_justify="left")
    _columns(table, "ratio", "value", "target", "", left=1)
    for name, value in summary.items():
        if value is not None:
            target = TARGETS.get(name)
            verdict = "" if target is None else "met" if value >= target else "NOT MET"
            table.add_row(name, f"{value:.2f}", "" if target is None else f"≥ {target:g}", verdict)
    _console().print(table)


def _less(value: float | None, bases: Sequence[float | None]) -> str:
    """How much less a value is than each base, in per cent."""
    shares = ["" if value is None or base is None else f"{1 - value / base:+.1%}" for base in bases]
    return " / ".join(share for share in shares if share)


def show_buckets(rows: Sequence[Row]) -> None:
    """Additions and time of every construction, and how much less that is than Pippenger's and BGMW's."""
    if not rows:
        return
    title = f"bucket constructions, {GROUP}, one thread; less than Pippenger / BGMW in the same memory"
    table = Table(title=title, title_justify="left")
    head = ("c", "stride", "MiB", "additions", "less", "timed c", "stride", "MiB", "CPU ms", "less")
    _columns(table, "n", "memory", "engine", *head, left=3)
    for log_n, memory in dict.fromkeys((row.log_n, row.memory) for row in rows):
        size = {row.engine: row for row in rows if (row.log_n, row.memory) == (log_n, memory)}
        bases = [size["pippenger"], size["bgmw"]]
        for row in size.values():
            count, plan = row.least, row.plan
            counted = ["", "", "", "does not fit", ""]
            if count is not None:
                less = _less(count.additions, [base.least.additions if base.least else None for base in bases])
                mib = number(count.table_bytes / 2**20)
                counted = [str(count.window), str(count.stride), mib, f"{count.additions:,}", less]
            pinned = ["", "", ""]
            if plan is not None:
                pinned = [str(plan["window"]), str(plan["stride"]), number(plan["table_bytes"] / 2**20)]
            time = "" if row.cpu_ms is None else number(row.cpu_ms)
            less = _less(row.cpu_ms, [base.cpu_ms for base in bases])
            table.add_row(f"2^{log_n}", memory, row.engine, *counted, *pinned, time, less)
        table.add_section()
    _console().print(table)
