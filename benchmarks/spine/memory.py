"""Whether the coordinator's memory stays flat over 100,000 durable no-op jobs, and its rate with it.

    python -m benchmarks.spine.memory [--tasks 100000] [--step 10000] [--json]

Jobs as in `jobs.py`, submitted `--step` at a time; after each step the resident memory of this process, which is the
coordinator (ledger, dispatcher, verification) and the submitter, is read from the kernel. `memory_mib_per_10k` is the
slope of the least-squares line through the samples after the warm-up, the first three tenths: caches fill, and the
collector and the allocator find their size. The rates tell whether old tasks make new ones slower.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

import psutil

from benchmarks.spine.durable import Spine
from benchmarks.spine.figures import LOAD, load_average, parser, show
from benchmarks.spine.noop import KIND
from benchmarks.spine.peers import WORKERS
from coordinator.dispatch.ray_runtime import start_ray, stop_ray
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs

TASKS = 100_000
STEP = 10_000
WARM_SHARE = 0.3


def resident_mib() -> float:
    """Memory of this process that is in RAM, in MiB."""
    return float(psutil.Process().memory_info().rss) / (1 << 20)


async def _samples(home: Path, tasks: int, step: int) -> list[tuple[float, float]]:
    """(jobs a second, MiB after them) of each step."""
    spine = Spine(Ledger.at(home / "ledger.db"), home)
    await spine.prepare()
    found = []
    async with spine.running():
        await spine.warm()
        for number in range(tasks // step):
            rate = await spine.throughput(step)
            found.append((rate, resident_mib()))
            print(f"{(number + 1) * step:>9,} tasks: {found[-1][1]:7.1f} MiB, {rate:6,.0f} jobs/s", flush=True)
    return found


async def measure(tasks: int = TASKS, step: int = STEP) -> dict[str, float]:
    """`memory_mib_per_10k`, the memory after the warm-up and at the end, and the rates there."""
    load = load_average()
    with tempfile.TemporaryDirectory(prefix="w3b-memory-") as folder:
        configure_logs(Path(folder), quiet=True)
        try:
            start_ray(Path(folder), {KIND: WORKERS})
            samples = await _samples(Path(folder), tasks, step)
        finally:
            stop_ray()
    flat = samples[int(len(samples) * WARM_SHARE) :]
    done = [step * number for number in range(len(flat))]
    slope = statistics.linear_regression(done, [memory for _, memory in flat]).slope
    return {
        LOAD: load,
        "memory_mib_per_10k": slope * 10_000,
        "memory_mib_warm": flat[0][1],
        "memory_mib_last": flat[-1][1],
        "memory_tasks": tasks,
        "rate_first": samples[0][0],
        "rate_last": samples[-1][0],
    }


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--tasks", type=int, default=TASKS, help=f"tasks, at least five steps of them ({TASKS})")
    options.add_argument("--step", type=int, default=STEP, help=f"tasks between two samples ({STEP})")
    chosen = options.parse_args()
    if chosen.tasks < 5 * chosen.step:
        options.error("a slope needs at least five steps")
    found = asyncio.run(measure(chosen.tasks, chosen.step))
    show(f"Memory of the coordinator over {chosen.tasks:,} no-op jobs", found, as_json=chosen.json)


if __name__ == "__main__":
    main()
