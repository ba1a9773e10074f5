"""How fast the dispatch recovers: a worker that dies, and a coordinator that is killed with 10,000 jobs queued.

    python -m benchmarks.spine.recovery [--queued 10000] [--kills 5] [--json]

The coordinator is a process of its own (ledger, dispatcher and the chain's stand-in, as in `jobs.py`) on a Ray cluster
that stands all the time; this process watches the ledger. What was compiled is kept, as an installation keeps it.

- `release_seconds`: from the SIGKILL of a worker in the middle of a job until another attempt of the task is in the
  ledger, the longest of `--kills`; target: lease + 1 s. `release_silent_seconds` is the same for a worker that is stopped
  (SIGSTOP) and therefore neither dead nor heard.
- `restart_seconds`: the coordinator is killed (SIGKILL) while workers prove and `--queued` jobs wait; from the start of
  the next process (its interpreter, too) until the first job after that is handed to a worker. Workers die with the
  coordinator that started them: this includes starting new ones. Of it, `restart_import_seconds` is until the new
  process has all its code, and `restart_ledger_seconds` until the ledger is open and the loops run.
- `restart_embedded_seconds`: the same for a coordinator with a Ray of its own, which dies with it and is started again.
- `lost`, `doubled`: when all jobs are done, those not SATISFIED, and those with two accepted proofs or two ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, func, select

from benchmarks.spine.cluster import Nodes, cluster
from benchmarks.spine.durable import Jobs, Spine, prepare_project, submit
from benchmarks.spine.figures import LOAD, load_average, parser, show
from benchmarks.spine.noop import NoopProver, WaitingProver
from benchmarks.spine.peers import WORKERS
from coordinator.dispatch.snapshot import PROVEN, PROVERS
from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs

QUEUED = 10_000
EARLY = 512
"""Jobs on top, which are done before the coordinator is killed."""
KILLS = 5
LEASE_SECONDS = 30
LONG_MS = 4_000
"""A job that is long enough to be hit in the middle, and short enough to be waited for."""
LOOK_SECONDS = 0.005
PATIENCE_SECONDS = 600.0
STOP_SECONDS = 60.0
WAITING = "--waiting"


@dataclass(frozen=True)
class Killed:
    """An attempt whose worker was killed, or stopped."""

    task: str
    attempt: int
    process: int


class Watch:
    """What the ledger says, from outside of the coordinator."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def until(self, ask: Any, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """The first answer that says something; `ask` takes a plain connection."""
        async with asyncio.timeout(seconds):
            while not (found := await self._ledger.read(ask)):  # noqa: ASYNC110  another process writes
                await asyncio.sleep(LOOK_SECONDS)
            return found

    async def proving(self) -> Killed:
        """An attempt that a worker is at, with the worker's process."""

        def ask(connection: Connection) -> Any:
            return connection.execute(
                select(ATTEMPTS.c.task_id, ATTEMPTS.c.id, PROVERS.c.node)
                .join(PROVERS, PROVERS.c.id == ATTEMPTS.c.prover_id)
                .where(ATTEMPTS.c.state == "PROVING", PROVERS.c.node != "")
                .order_by(ATTEMPTS.c.id.desc())
            ).first()

        row = await self.until(ask)
        return Killed(row.task_id, row.id, int(row.node.rsplit("/", 1)[1]))

    async def leased_again(self, killed: Killed) -> None:
        """Until the task has a later attempt."""
        later = select(ATTEMPTS.c.id).where(ATTEMPTS.c.task_id == killed.task, ATTEMPTS.c.id > killed.attempt)
        await self.until(lambda connection: connection.execute(later).first())

    async def satisfied(self, count: int) -> None:
        """Until so many tasks are."""
        await self.until(lambda connection: _count(connection, "SATISFIED") >= count)

    async def waiting(self) -> int:
        """Tasks that are OPEN."""
        return await self._ledger.read(lambda connection: _count(connection, "OPEN"))

    async def started_after(self, milliseconds: int) -> None:
        """Until a worker has got an attempt after this wall time."""
        new = select(ATTEMPTS.c.id).where(ATTEMPTS.c.started_at >= milliseconds).limit(1)
        await self.until(lambda connection: connection.execute(new).first())

    async def verdict(self, submitted: int) -> dict[str, float]:
        """`lost` and `doubled` of so many jobs, by the tasks' states, their attempts and their timelines."""
        twice = [
            select(column).where(*which).group_by(column).having(func.count() > 1)
            for column, which in (
                (ATTEMPTS.c.task_id, [ATTEMPTS.c.state.in_(PROVEN)]),
                (EVENTS.c.task_id, [EVENTS.c.subject == "task", EVENTS.c.target == "SATISFIED"]),
            )
        ]

        def ask(connection: Connection) -> dict[str, float]:
            doubled = {name for query in twice for name in connection.execute(query).scalars()}
            return {"lost": submitted - _count(connection, "SATISFIED"), "doubled": len(doubled)}

        return await self._ledger.read(ask)


def _count(connection: Connection, state: str) -> int:
    return connection.execute(select(func.count()).where(TASKS.c.state == state)).scalar_one()


@contextmanager
def coordinator(home: Path, address: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A coordinator process over the ledger in `home`, on the cluster at `address` or a Ray of its own; killed when the
    block ends."""
    command = [sys.executable, "-m", "benchmarks.spine.recovery", "--coordinate", str(home), address, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def coordinate(home: Path, address: str, *, waiting: bool) -> None:
    """Be the coordinator until killed or terminated; prints when it got how far, in wall time."""
    print(json.dumps({"import": time.time()}), flush=True)
    configure_logs(home, quiet=True)
    prover = WaitingProver if waiting else NoopProver
    spine = Spine(Ledger.at(home / "ledger.db"), home, prover=prover, address=address)
    await spine.ledger.migrate()
    async with spine.running():
        print(json.dumps({"running": time.time()}), flush=True)
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        await told.wait()


async def _site(home: Path) -> Ledger:
    """A ledger with the project."""
    ledger = Ledger.at(home / "ledger.db")
    await ledger.migrate()
    await prepare_project(ledger, Jobs())
    return ledger


async def _release(home: Path, nodes: Nodes, kills: int) -> dict[str, float]:
    """Workers that die, and one that is stopped, each in the middle of a job."""
    nodes.wait(LONG_MS)
    ledger = await _site(home)
    watch, jobs, found = Watch(ledger), Jobs(), []
    with coordinator(home, nodes.address, WAITING):
        for number, blow in enumerate([signal.SIGKILL] * kills + [signal.SIGSTOP]):
            await submit(ledger, jobs, 1)
            victim = await watch.proving()
            psutil.Process(victim.process).send_signal(blow)
            began = time.perf_counter()
            await watch.leased_again(victim)
            found.append(time.perf_counter() - began)
            print(f"{blow.name} of a worker: leased again after {found[-1]:.2f} s", flush=True)
            await watch.satisfied(number + 1)
    await ledger.close()
    return {"release_seconds": max(found[:-1]), "release_silent_seconds": found[-1]}


async def _restart(home: Path, address: str, queued: int) -> dict[str, float]:
    """The coordinator killed with its queue, and another one started."""
    ledger = await _site(home)
    watch, submitted = Watch(ledger), queued + EARLY
    await submit(ledger, Jobs(), submitted)
    with coordinator(home, address):
        await watch.satisfied(EARLY // 2)
        await watch.proving()
    waited = await watch.waiting()
    began = time.time()
    with coordinator(home, address) as process:
        await watch.started_after(round(began * 1000))
        first = time.time() - began
        assert process.stdout is not None
        steps: Mapping[str, float] = json.loads(process.stdout.readline()) | json.loads(process.stdout.readline())
        print(f"{waited:,} jobs waited; first dispatch {first:.2f} s after the start", flush=True)
        await watch.satisfied(submitted)
        took = time.time() - began
        # What comes late would come now: an attempt of the killed coordinator that is told twice.
        await asyncio.sleep(1)
        process.terminate()  # in order, so that no agent of its own Ray outlives it and writes into the folder
        with suppress(subprocess.TimeoutExpired):  # then it is killed
            await asyncio.to_thread(process.wait, STOP_SECONDS)
    verdict = await watch.verdict(submitted)
    await ledger.close()
    return {
        "restart_seconds": first,
        **verdict,
        "restart_queued": waited,
        "restart_import_seconds": steps["import"] - began,
        "restart_ledger_seconds": steps["running"] - began,
        "restart_all_done_seconds": took,
    }


async def measure(queued: int = QUEUED, kills: int = KILLS) -> dict[str, float]:
    """The figures of this module's docstring."""
    figures = {LOAD: load_average()}
    with tempfile.TemporaryDirectory(prefix="w3b-recovery-") as folder:
        home = Path(folder)
        for name in ("release", "restart", "embedded"):
            (home / name).mkdir()
        with cluster(home) as nodes:
            nodes.grow(1)
            figures |= await _release(home / "release", nodes, kills)
            figures |= await _restart(home / "restart", nodes.address, queued)
        embedded = await _restart(home / "embedded", "", queued)
    figures["restart_embedded_seconds"] = embedded["restart_seconds"]
    for name in ("lost", "doubled"):
        figures[name] += embedded[name]
    return figures


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--queued", type=int, default=QUEUED, help=f"jobs that wait at the kill ({QUEUED})")
    options.add_argument("--kills", type=int, default=KILLS, help=f"workers to kill ({KILLS})")
    options.add_argument("--coordinate", nargs=2, metavar=("HOME", "ADDRESS"), help=argparse.SUPPRESS)
    options.add_argument(WAITING, action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.coordinate:
        asyncio.run(coordinate(Path(chosen.coordinate[0]), chosen.coordinate[1], waiting=chosen.waiting))
        return
    found = asyncio.run(measure(chosen.queued, chosen.kills))
    show(f"Recovery, leases of {LEASE_SECONDS} s, {WORKERS} workers", found, as_json=chosen.json)


if __name__ == "__main__":
    main()
