"""Our chain against anvil in one run: through JSON-RPC to receipts, and execution alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.l1 import execution, through_rpc
from benchmarks.l1.execution import ExecutionRates
from benchmarks.l1.through_rpc import Rates
from benchmarks.l1.workload import Workload

RPC_GOAL = 0.5
"""Through our RPC, over anvil's."""
EXECUTION_GOAL = 5.0
"""Execution alone, over anvil's from RPC to receipt."""


@dataclass(frozen=True)
class Comparison:
    """One run; rates are transactions a CPU second."""

    rpc: Sequence[Rates]
    """Ours with one producer, ours with delegates, anvil."""
    execution: ExecutionRates
    """Without RPC, mempool and disk."""

    @property
    def anvil(self) -> Rates:
        """The peer."""
        return self.rpc[-1]

    def figures(self) -> dict[str, Any]:
        """As plain values, ratios among them."""
        whole = self.anvil.per_cpu_second
        return {
            "rpc": [asdict(each) for each in self.rpc],
            "execution": asdict(self.execution),
            "execution_vs_anvil": self.execution.build / whole,
            "import_vs_anvil": self.execution.import_blocks / whole,
        }

    def table(self) -> Table:
        """A row for each way through."""
        table = Table(title=f"Transactions a CPU second (goals: RPC ≥ {RPC_GOAL}, execution ≥ {EXECUTION_GOAL:g})")
        for name in ("", "to receipt", "vs anvil", "to block", "vs anvil", "eth_call"):
            table.add_column(name, justify="right" if name else "left", no_wrap=not name)
        for each in self.rpc:
            table.add_row(
                each.name,
                f"{each.per_cpu_second:,.0f}",
                f"{each.vs_anvil:.2f}",
                f"{each.mined_per_cpu_second:,.0f}",
                f"{each.mined_vs_anvil:.2f}",
                f"{each.calls_per_cpu_second:,.0f}",
            )
        alone = self.execution
        for name, rate in (
            ("execution alone", alone.build),
            ("blocks imported", alone.import_blocks),
            ("senders recovered", alone.decode),
        ):
            table.add_row(name, "", f"{rate / self.anvil.per_cpu_second:.1f}", f"{rate:,.0f}", "", "")
        return table


def missing(binary: Path) -> str | None:
    """Why there is no peer, or `None`."""
    return None if binary.is_file() else f"anvil is not at {binary}: run `npm ci`"


def measure(workload: Workload, binary: Path, delegates: int) -> Comparison:
    """Raises `BenchmarkBroke` when a transaction is lost or fails."""
    return Comparison(through_rpc.measure(workload, binary, delegates), execution.measure(workload))
