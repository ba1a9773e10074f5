"""What the consensus costs, in one table.

    python -m benchmarks.l1 [--json] [--quick]

Votes: CPU time, the least of the repetitions, of one delegate's signature, of checking everybody's singly and in a batch,
of summing a quorum and of checking the sum, against as many secp256k1 signatures (libsecp256k1 by coincurve), which a
footer holds without IIP-52. Finality: simulated, links of 50 ms, from a proposal to the last delegate's decision. The
embedded chain makes a block every 0.25 s. Transactions: against anvil, as in `python -m benchmarks.chain_rpc`; left out
where npm has not put anvil.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.l1 import embedded, simulated, transactions, votes
from benchmarks.l1.through_rpc import ANVIL
from benchmarks.l1.workload import Workload
from benchmarks.msm.machine import cpu_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and, with --json, the figures as the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.l1", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, about 40 s")
    options = parser.parse_args(arguments)
    load, console = os.getloadavg()[0], Console(stderr=options.json)
    sizes = votes.SIZES[:1] + votes.SIZES[-1:] if options.quick else votes.SIZES
    costs = [votes.measure(size, 4 if options.quick else 20) for size in sizes]
    console.print(_vote_table(costs))
    runs = [simulated.measure(24, 20 if options.quick else 100), simulated.measure(144, 2 if options.quick else 5)]
    console.print(_run_table(runs))
    chains = [embedded.measure(size, 5 if options.quick else 20) for size in (4, 24)]
    console.print(_chain_table(chains))
    left_out = {} if (reason := transactions.missing(ANVIL)) is None else {"transactions": reason}
    against = None
    if left_out:
        console.print(f"transactions left out: {reason}")
    else:
        workload = Workload(3, 500) if options.quick else Workload(6, 1_500)
        against = transactions.measure(workload, ANVIL, 24)
        console.print(against.table())
    figures = {
        "votes": [asdict(each) | {"votes_per_second": each.delegates / each.check_batch} for each in costs],
        "simulated": [asdict(each) for each in runs],
        "finality_bound_ms": simulated.BOUND_MS,
        "embedded": [asdict(each) for each in chains],
        "transactions": against.figures() if against else None,
        "left_out": left_out,
        "cpu": cpu_model(),
        "load_at_start": load,
        "load_at_end": os.getloadavg()[0],
    }
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _vote_table(costs: Sequence[votes.VoteCosts]) -> Table:
    table = Table(title="Votes of n delegates, CPU ms (in brackets: of the certificate); footers")
    for name in ("n", "sign", "singly", "batch", "sum", "certificate", "secp256k1", "footer", "without"):
        table.add_column(name, justify="right")
    for each in costs:

        def against(seconds: float, whole: float = each.check_aggregate) -> str:
            return f"{seconds * 1e3:.2f} ({seconds / whole:.1f})"

        table.add_row(
            str(each.delegates),
            f"{each.sign * 1e3:.2f}",
            against(each.check_single),
            against(each.check_batch),
            f"{each.certify * 1e3:.2f}",
            f"{each.check_aggregate * 1e3:.2f}",
            against(each.check_ecdsa),
            str(each.footer),
            f"{each.footer_ecdsa:,}",
        )
    return table


def _run_table(runs: Sequence[simulated.Simulated]) -> Table:
    table = Table(title=f"Simulated, links of {simulated.LINK_MS} ms, no signatures")
    for name in ("delegates", "finality (ms)", "bound (ms)", "heights a CPU second"):
        table.add_column(name, justify="right")
    for each in runs:
        speed = f"{each.heights_per_cpu_second:.1f}"
        table.add_row(str(each.delegates), str(each.finality_ms), str(simulated.BOUND_MS), speed)
    return table


def _chain_table(chains: Sequence[embedded.EmbeddedCost]) -> Table:
    table = Table(title=f"Embedded chain, a block every {embedded.INTERVAL} s")
    for name in ("delegates", "blocks a second", "share of a core"):
        table.add_column(name, justify="right")
    for each in chains:
        table.add_row(str(each.delegates), f"{each.blocks_per_second:.1f}", f"{each.cpu_share:.1%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
