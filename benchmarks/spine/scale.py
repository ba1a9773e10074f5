"""How the coordinator keeps up with more nodes: 1, 2, 4 and 8 simulated Ray nodes on this machine, jobs that only wait.

    python -m benchmarks.spine.scale [--nodes 1,2,4,8] [--rounds 3] [--json]

Each node (`ray.cluster_utils`) has two workers, and a job waits in its worker, where it uses no processor: what holds the
jobs up is the coordinator, and the processors that all of it shares. The peer is one node: efficiency at n nodes is
their rate over n times the rate of one, medians of the rounds. `scale_efficiency` is that of the most nodes with jobs of
a second, about what a small proof takes; with jobs of a tenth it is `scale_efficiency_100ms`. The share of the ideal is
the rate over that of workers which never wait for a job. A round has some seconds of jobs for each worker, all submitted
at its start, and ends with the last one SATISFIED in the ledger.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.spine.cluster import Nodes, cluster
from benchmarks.spine.durable import Spine
from benchmarks.spine.figures import LOAD, load_average, parser, show
from benchmarks.spine.noop import WaitingProver
from benchmarks.spine.peers import WORKERS
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs

NODES = (1, 2, 4, 8)
JOBS: Mapping[int, int] = {1000: 6, 100: 40}
"""Jobs a worker and round, by how many milliseconds a job waits."""
ROUNDS = 3
Rates = dict[tuple[int, int], float]
"""Jobs a second by (milliseconds, nodes)."""


async def _rates(home: Path, nodes: Nodes, counts: Sequence[int], rounds: int) -> Rates:
    nodes.grow(counts[0])
    spine = Spine(Ledger.at(home / "ledger.db"), home, prover=WaitingProver, address=nodes.address)
    await spine.prepare()
    found: Rates = {}
    async with spine.running():
        for count in counts:
            nodes.grow(count)
            workers = WORKERS * count
            await spine.crew_of(workers)
            for wait_ms, jobs in JOBS.items():
                nodes.wait(wait_ms)
                await spine.throughput(2 * workers)  # each new worker's first calls
                rates = [await spine.throughput(jobs * workers) for _ in range(rounds)]
                found[wait_ms, count] = statistics.median(rates)
                print(f"{count} nodes, {wait_ms} ms: {found[wait_ms, count]:.1f} jobs/s", flush=True)
    return found


async def measure(counts: Sequence[int] = NODES, rounds: int = ROUNDS) -> dict[str, float]:
    """`scale_efficiency`, `scale_efficiency_100ms`, and for each number of nodes its rate, its efficiency and its share
    of the ideal."""
    figures = {LOAD: load_average()}
    with tempfile.TemporaryDirectory(prefix="w3b-scale-") as folder:
        configure_logs(Path(folder), quiet=True)
        with cluster(Path(folder)) as nodes:
            nodes.wait(100)
            rates = await _rates(Path(folder), nodes, counts, rounds)
    for (wait_ms, count), rate in rates.items():
        suffix = "" if wait_ms == 1000 else f"_{wait_ms}ms"
        efficiency = rate / count / (rates[wait_ms, counts[0]] / counts[0])
        figures[f"scale_efficiency{suffix}"] = efficiency  # that of the most nodes comes last
        figures[f"efficiency_{count}_nodes{suffix}"] = efficiency
        figures[f"share_of_ideal_{count}_nodes{suffix}"] = rate * wait_ms / 1000 / (count * WORKERS)
        figures[f"jobs_per_second_{count}_nodes{suffix}"] = rate
    return figures


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--nodes", type=_numbers, default=NODES, help="numbers of nodes (1,2,4,8)")
    options.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    chosen = options.parse_args()
    found = asyncio.run(measure(chosen.nodes, chosen.rounds))
    show(f"Jobs that wait, {WORKERS} workers a node, medians of {chosen.rounds} rounds", found, as_json=chosen.json)


if __name__ == "__main__":
    main()
