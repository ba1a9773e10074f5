"""What durability costs a job: no-op jobs through the dispatcher, Ray and the ledger on disk, beside bare Ray actor calls
and beside Celery on Redis.

    python -m benchmarks.spine.jobs [--jobs 2000] [--rounds 5] [--ledger-url URL] [--no-celery] [--json]

Rounds of the three alternate; a ratio is of the medians:

- **ray**: asynchronous calls of a no-op actor method, pipelined, as many actors as workers, a job's payload each;
- **ours**: `durable.py`; what is accepted and what is proven is synced to disk (a lease is, too, before anything leaves
  the machine for it: `Ledger.write`);
- **celery**: no-op Celery tasks on a Redis server on loopback, acknowledged late, every write synced, results stored in
  Redis, the default prefetch, as many worker processes as we have workers, sent by one process.

Latency is that of jobs that come one by one at half the rate reached before, less the median of a bare Ray call.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.spine.durable import Jobs, Spine
from benchmarks.spine.figures import LOAD, load_average, parser, show
from benchmarks.spine.noop import KIND
from benchmarks.spine.peers import WORKERS, BareRay, Celery
from coordinator.dispatch.ray_runtime import start_ray, stop_ray
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs
from coordinator.service.service import SWITCH_SECONDS

ROUNDS = 5
JOBS = 2_000
LATENCY_ROUNDS = 4


def quantile(samples: Sequence[float], share: float) -> float:
    """Nearest-rank quantile."""
    ranked = sorted(samples)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


async def measure(
    *, jobs: int = JOBS, rounds: int = ROUNDS, ledger_url: str = "", with_celery: bool = True
) -> dict[str, float]:
    """Medians of interleaved rounds: jobs a second of each (`ray`, `ours`, `celery`), `job_vs_ray`, `job_vs_celery`,
    and `latency_p50_ms` and `latency_p99_ms`, added to a bare Ray call at half load.

    Parameters: `ledger_url` is a fresh ledger, by default a SQLite file in a new temporary folder.
    """
    load, folder = load_average(), Path(tempfile.mkdtemp(prefix="w3b-spine-"))
    configure_logs(folder, quiet=True)
    sys.setswitchinterval(SWITCH_SECONDS)  # as the service does
    try:
        start_ray(folder, {KIND: WORKERS})
        return {LOAD: load} | await _measure(folder, jobs, rounds, ledger_url, with_celery=with_celery)
    finally:
        stop_ray()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(folder: Path, jobs: int, rounds: int, ledger_url: str, *, with_celery: bool) -> dict[str, float]:
    ledger = Ledger(ledger_url) if ledger_url else Ledger.at(folder / "ledger.db")
    bare, celery = BareRay(folder, Jobs().payload()), Celery(folder)
    found: dict[str, list[float]] = {"ray": [], "ours": [], "celery": []}
    async with AsyncExitStack() as stack:
        bare.start()
        stack.callback(bare.stop)
        spine = Spine(ledger, folder)
        await spine.prepare()
        await stack.enter_async_context(spine.running())
        await spine.warm()
        if with_celery:
            stack.callback(celery.stop)
            await celery.start()
        for _ in range(rounds):
            found["ray"].append(await bare.throughput(jobs))
            found["ours"].append(await spine.throughput(jobs))
            if with_celery:
                found["celery"].append(await celery.throughput(jobs))
        celery.stop()
        half = statistics.median(found["ours"]) / 2
        waits, calls = await _interleaved(spine, bare, half, jobs)
    medians = {f"{name}_per_second": statistics.median(rates) for name, rates in found.items() if rates}
    call, ours = statistics.median(calls), medians["ours_per_second"]
    ratios = {f"job_vs_{name}": ours / medians[f"{name}_per_second"] for name in ("ray", "celery") if found[name]}
    latencies = {"latency_p50_ms": quantile(waits, 0.5) - call, "latency_p99_ms": quantile(waits, 0.99) - call}
    return ratios | latencies | medians | {"ray_call_ms": call}


async def _interleaved(spine: Spine, bare: BareRay, rate: float, count: int) -> tuple[list[float], list[float]]:
    waits: list[float] = []
    calls: list[float] = []
    for _ in range(LATENCY_ROUNDS):
        calls += await bare.latencies(rate, count // LATENCY_ROUNDS)
        waits += await spine.latencies(rate, count // LATENCY_ROUNDS)
    return waits, calls


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=JOBS, help=f"jobs a round ({JOBS})")
    options.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    options.add_argument("--ledger-url", default="", help="a fresh ledger; by default a SQLite file")
    options.add_argument("--no-celery", action="store_true", help="leave Celery out")
    chosen = options.parse_args()
    found = asyncio.run(
        measure(
            jobs=chosen.jobs,
            rounds=chosen.rounds,
            ledger_url=chosen.ledger_url,
            with_celery=not chosen.no_celery,
        )
    )
    show(f"No-op jobs, medians of {chosen.rounds} rounds of {chosen.jobs}", found, as_json=chosen.json)


if __name__ == "__main__":
    main()
