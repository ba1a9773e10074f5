"""Transactions a CPU second, from raw bytes over JSON-RPC to receipts: our node against anvil, and execution alone.

    python -m benchmarks.chain_rpc [--anvil PATH] [--delegates 24] [--transactions 1500] [--rounds 5] [--json]

Each node gets the same signed transactions (a contract that counts its calls: one SSTORE and one log each, twenty
senders), the nodes in turns, after a round of warm-up. Every receipt must say success and the counter must be right.
anvil makes a block a second, ours at most four. Execution alone builds and imports blocks of 500 of the same
transactions in this process. Times are the CPU's, medians of the rounds: compare ratios, not numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.l1 import transactions
from benchmarks.l1.through_rpc import ANVIL, BenchmarkBroke
from benchmarks.l1.workload import Workload
from benchmarks.msm.machine import cpu_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and, with --json, the figures as the last line. 1 when there is no peer or it broke."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chain_rpc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anvil", type=Path, default=ANVIL, help="anvil binary (npm's)")
    parser.add_argument("--delegates", type=int, default=24, help="delegates of our second chain, 0 leaves it out (24)")
    parser.add_argument("--transactions", type=int, default=1_500, help="in a round (1500)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (5)")
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    options = parser.parse_args(arguments)
    if reason := transactions.missing(options.anvil):
        sys.stderr.write(reason + "\n")
        return 1
    load, console = os.getloadavg()[0], Console(stderr=options.json)
    workload = Workload(options.rounds + 1, options.transactions)
    try:
        found = transactions.measure(workload, options.anvil, options.delegates)
    except BenchmarkBroke as error:
        sys.stderr.write(f"{error}\n")
        return 1
    console.print(found.table())
    ends = os.getloadavg()[0]
    console.print(f"load {load:.1f} at the start, {ends:.1f} at the end; {os.cpu_count()} CPUs, {cpu_model()}")
    if options.json:
        figures = found.figures() | {"cpu": cpu_model(), "load_at_start": load, "load_at_end": ends}
        sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
