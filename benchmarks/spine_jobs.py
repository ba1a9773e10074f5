"""What durability costs a job: no-op jobs through the dispatcher, Ray and the ledger on disk, beside bare Ray actor calls
and beside Celery on Redis.

`python -m benchmarks.spine_jobs` interleaves rounds of the three and prints medians:

- **ray**: asynchronous calls of a no-op actor method, pipelined, as many actors as workers, a job's payload each;
- **ours**: tasks put into the ledger as the intake puts them (task, readings and timeline, many in one transaction),
  leased, proven by a no-op prover on Ray, verified, committed PROVED and SATISFIED; what is accepted and what is proven
  is synced to disk (a lease is, too, before anything leaves the machine for it: `Ledger.write`). The
  chain is left out: a stand-in in this file takes assignments as mined, in transactions of its own;
- **celery**: no-op Celery tasks on a Redis server on loopback, acknowledged late, results stored in Redis, the default
  prefetch, as many worker processes as we have workers, sent by one process.

Latency is that of jobs that come one by one at half the rate reached before, less the median of a bare Ray call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, bindparam, insert, select, update

from benchmarks.spine_noop import KIND, PROGRAM_ID, NoopProver
from benchmarks.spine_peers import WORKERS, BareRay, Celery
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.ray_pool import RayPool
from coordinator.dispatch.ray_runtime import SOURCE_ROOT, start_ray, stop_ray
from coordinator.dispatch.snapshot import OUTBOX, PROVERS
from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS, Event, add_events
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow, ReadingRow
from coordinator.settings import Settings
from provers.protocol import Program, ProvingTask
from verifier.commitment import POSEIDON_BN254_V1
from verifier.completeness import Completeness
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Domain, Opening, task_id

SUBMITTED = 64
"""Tasks of one submitting transaction."""
ROUNDS = 5
JOBS = 2_000
DOMAIN = Domain(4690, b"\x11" * 20)
KEY = DeviceKey(KeyType.SECP256K1, bytes(31) + b"\x07")
READINGS: Any = ReadingRow.__table__  # type: ignore[attr-defined]
ADD_TASKS, ADD_READINGS = insert(TASKS), insert(READINGS)
TOLD = (
    select(EVENTS.c.id, EVENTS.c.task_id, EVENTS.c.target).where(EVENTS.c.id > bindparam("after")).order_by(EVENTS.c.id)
)


class Jobs:
    """Makes jobs: one signed reading each, with the roots that the intake would have computed.

    Roots and signatures are the intake's work, not the spine's: one reading is signed and hashed once, and stands in
    every window. Only the window, and with it the task's id and its inputs, differ.
    """

    def __init__(self) -> None:
        self._next = 1
        reading = KEY.sign(1, 1, 1, (20).to_bytes(4, "big"))
        self._wire = reading.to_wire()
        self._reading = reading
        self._readings_root = POSEIDON_BN254_V1.readings_root([reading], 1)
        self.devices_root = POSEIDON_BN254_V1.device_set_root([KEY.registration()])

    def make(self, count: int, now: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of tasks and of readings."""
        tasks, readings = [], []
        for _ in range(count):
            start, self._next = self._next, self._next + 1
            opening = Opening(self._readings_root, self.devices_root, start, start + 1, 1, Completeness())
            name = "0x" + task_id(1, 1, start, start + 1).hex()
            tasks.append(self._task(name, start, opening, now))
            device = "0x" + self._reading.device.hex()
            readings.append(
                {
                    "project_id": 1,
                    "position": start,
                    "version": 1,
                    "device": device,
                    "sequence": start,
                    "timestamp": 1,
                    "wire": self._wire,
                    "received_at": now,
                    "task_id": name,
                }
            )
        return tasks, readings

    def _task(self, name: str, start: int, opening: Opening, now: int) -> dict[str, Any]:
        texts = dict.fromkeys(("output", "code", "reason", "provenance", "finality_source", "block_hash"), "")
        zeros = dict.fromkeys(("attempts_used", "requeues", "next_attempt_at", "counted_from"), 0)
        lacks = dict.fromkeys(("missing", "duplicates", "late", "reordered"), 0)
        return {
            **texts,
            **zeros,
            **lacks,
            "trace": "",
            "transaction_hash": "",
            "id": name,
            "project_id": 1,
            "version": 1,
            "window_start": start,
            "window_end": start + 1,
            "count": 1,
            "readings_root": "0x" + opening.readings_root.hex(),
            "device_set_root": "0x" + opening.device_set_root.hex(),
            "inputs": "0x" + opening.commitment().hex(),
            "state": "OPEN",
            "kinds": [KIND],
            "threshold": 1,
            "next_fence": 1,
            "deadline_at": now + 3_600_000,
            "first_reading_at": now,
            "created_at": now,
            "updated_at": now,
        }

    def payload(self) -> ProvingTask:
        """What a job sends to its worker."""
        opening = Opening(self._readings_root, self.devices_root, 1, 2, 1, Completeness())
        name = task_id(1, 1, 1, 2)
        devices = (KEY.registration(),)
        return ProvingTask(DOMAIN, 1, 1, name, opening, PROGRAM_ID, bytes(20), (self._reading,), devices)


async def submit(ledger: Ledger, jobs: Jobs, count: int) -> list[str]:
    """Commit `count` tasks, in transactions of at most `SUBMITTED`; returns their ids."""
    names: list[str] = []
    for at in range(0, count, SUBMITTED):
        now = ledger.clock()
        tasks, readings = jobs.make(min(SUBMITTED, count - at), now)
        told = [Event(task["id"], 1, "task", "", "RECEIVED", "window closed by count") for task in tasks]

        def work(
            connection: Connection, now: int = now, rows: Any = (tasks, readings), told: Sequence[Event] = told
        ) -> None:
            connection.execute(ADD_TASKS, rows[0])
            connection.execute(ADD_READINGS, rows[1])
            add_events(connection, now, told)

        await ledger.write(work)
        names += [task["id"] for task in tasks]
    return names


class ChainStandIn:
    """Takes whatever waits for the chain as mined."""

    ATTEMPT, PROVER = (ATTEMPTS.c.state == "ASSIGNED") & ATTEMPTS.c.assign_tx.is_(None), PROVERS.c.register_tx.is_(None)
    UNSENT = (select(ATTEMPTS.c.id).where(ATTEMPT).limit(1), select(PROVERS.c.id).where(PROVER).limit(1))
    MINED = (
        update(ATTEMPTS).where(ATTEMPT).values(assign_tx=bindparam("mined")),
        update(PROVERS).where(PROVER).values(register_tx=bindparam("mined")),
    )

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._mined: int | None = None

    async def run(self) -> None:
        """Look after each commit."""
        while True:
            seen = self._ledger.commits
            await self._mine()
            await self._ledger.changed(seen, 0.5)

    async def _mine(self) -> None:
        def waiting(connection: Connection) -> bool:
            return any(connection.execute(query).first() for query in self.UNSENT)

        def mine(connection: Connection) -> None:
            for update_all in self.MINED:
                connection.execute(update_all, {"mined": self._mined})

        if await self._ledger.read(waiting):
            await self._ledger.write(mine)

    async def prepare(self) -> None:
        """One mined transaction, which all assignments name: a batch of the chain carries eighty."""
        now = self._ledger.clock()
        values = {
            "dedupe_key": "stand-in",
            "chain_id": 0,
            "purpose": "apply_batch",
            "ref": {},
            "to": "0x",
            "data": b"",
            "state": "MINED",
            "created_at": now,
            "updated_at": now,
        }
        rest = {
            column.name: column.default.arg  # type: ignore[attr-defined]  # a scalar default, all of them
            for column in OUTBOX.c
            if column.default is not None and column.name not in values
        }
        async with self._ledger.transaction() as session:
            connection = await session.connection()
            done = await connection.execute(insert(OUTBOX).values({**rest, **values}).returning(OUTBOX.c.id))
            self._mined = done.scalar_one()


async def prepare_project(ledger: Ledger, jobs: Jobs) -> None:
    """A published project with one device and the no-op program."""
    now, device = ledger.clock(), KEY.registration("the one")
    async with ledger.transaction() as session:
        session.add(ProjectRow(id=1, name="bench", owner_key_id="key", version=1, created_at=now))
        await session.flush()
        session.add(
            ProjectVersionRow(
                project_id=1,
                version=1,
                file="",
                config={},
                config_hash="0x",
                device_set_root="0x" + jobs.devices_root.hex(),
                scheme=POSEIDON_BN254_V1.name,
                window_capacity=1,
                window_max_age_ms=1_000,
                programs=[{"kind": KIND, "name": "noop", "program_id": "0x" + PROGRAM_ID.hex(), "verifier": "0x"}],
                state="PUBLISHED",
                created_at=now,
            )
        )
        session.add(
            DeviceRow(
                project_id=1,
                version=1,
                position=0,
                device="0x" + device.device.hex(),
                key_type=int(device.key_type),
                public_key="0x" + device.public_key.hex(),
            )
        )


class Spine:
    """A ledger, a dispatcher on Ray and the stand-in for the chain."""

    def __init__(self, ledger: Ledger, home: Path) -> None:
        self.ledger = ledger
        self.jobs = Jobs()
        self._home = home
        self._ends: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Spine]:
        """Up until the block ends."""
        await self.ledger.migrate()
        await prepare_project(self.ledger, self.jobs)
        chain = ChainStandIn(self.ledger)
        await chain.prepare()
        folder = self._home / "program"
        folder.mkdir()
        dispatcher = Dispatcher(
            self.ledger,
            RayPool(self._home, {KIND: WORKERS}, import_paths=(SOURCE_ROOT,)),
            Settings(home=self._home, provers=WORKERS),
            DOMAIN,
            {KIND: NoopProver()},
            programs={"noop": Program("noop", KIND, folder)},
            entries={KIND: "benchmarks.spine_noop:NoopProver"},
        )
        mining = asyncio.create_task(chain.run())
        dispatching = asyncio.create_task(dispatcher.run())
        following = asyncio.create_task(self._follow())
        try:
            await self.done(await submit(self.ledger, self.jobs, 8))  # workers are up, depths are measured
            yield self
        finally:
            await dispatcher.stop()
            mining.cancel()
            following.cancel()
            await asyncio.gather(mining, following, dispatching, return_exceptions=True)
            await self.ledger.close()

    async def done(self, names: Sequence[str], seconds: float = 600.0) -> None:
        """Wait until these tasks are SATISFIED."""
        async with asyncio.timeout(seconds):
            for name in names:
                await self._end_of(name).wait()
        for name in names:
            del self._ends[name]

    def _end_of(self, name: str) -> asyncio.Event:
        return self._ends.setdefault(name, asyncio.Event())

    async def _follow(self) -> None:
        """One reader of the timeline for all who wait, as the API has one."""
        after = 0

        def satisfied(connection: Connection) -> Sequence[Any]:
            return connection.execute(TOLD, {"after": after}).all()

        while True:
            seen = self.ledger.commits
            rows = await self.ledger.read(satisfied)
            for row in rows:
                after = row.id
                if row.target == "SATISFIED":
                    self._end_of(row.task_id).set()
            await self.ledger.changed(seen, 0.5)

    async def throughput(self, count: int) -> float:
        """Jobs a second, from the first submit to the last result."""
        began = time.perf_counter()
        await self.done(await submit(self.ledger, self.jobs, count))
        return count / (time.perf_counter() - began)

    async def latencies(self, rate: float, count: int) -> list[float]:
        """Milliseconds from a single submit to its committed result, at `rate` jobs a second."""
        waits: list[float] = []

        async def one() -> None:
            began = time.perf_counter()
            await self.done(await submit(self.ledger, self.jobs, 1))
            waits.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                group.create_task(one())
        return waits


def quantile(samples: Sequence[float], share: float) -> float:
    """Nearest-rank quantile."""
    ranked = sorted(samples)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


async def measure(
    *, jobs: int = JOBS, rounds: int = ROUNDS, ledger_url: str = "", with_celery: bool = True, home: Path | None = None
) -> dict[str, float]:
    """Medians of interleaved rounds: jobs a second of each (`ray`, `ours`, `celery`), `job_vs_ray`, `job_vs_celery`,
    and `latency_p50_ms` and `latency_p99_ms`, added to a bare Ray call at half load.

    Parameters: `ledger_url` is a fresh ledger, by default a SQLite file in a new folder below `home` (the system's
    folder for temporary files).
    """
    folder = Path(tempfile.mkdtemp(prefix="w3b-spine-", dir=home))
    try:
        start_ray(folder, {KIND: WORKERS})
        return await _measure(folder, jobs, rounds, ledger_url, with_celery=with_celery)
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
        spine = await stack.enter_async_context(Spine(ledger, folder).running())
        for _ in range(rounds):
            found["ray"].append(await bare.throughput(jobs))
            found["ours"].append(await spine.throughput(jobs))
        half = statistics.median(found["ours"]) / 2
        waits, calls = await _interleaved(spine, bare, half, jobs)
    if with_celery:  # Ray's and our processes are gone, as Celery's were not there before: each has the machine alone
        try:
            await celery.start()
            found["celery"] = [await celery.throughput(jobs) for _ in range(rounds)]
        finally:
            celery.stop()
    medians = {name: statistics.median(rates) for name, rates in found.items() if rates}
    call = statistics.median(calls)
    result = {
        **medians,
        "job_vs_ray": medians["ours"] / medians["ray"],
        "latency_p50_ms": quantile(waits, 0.5) - call,
        "latency_p99_ms": quantile(waits, 0.99) - call,
        "ray_call_ms": call,
    }
    return result | ({"job_vs_celery": medians["ours"] / medians["celery"]} if with_celery else {})


async def _interleaved(spine: Spine, bare: BareRay, rate: float, count: int) -> tuple[list[float], list[float]]:
    waits: list[float] = []
    calls: list[float] = []
    for _ in range(4):
        calls += await bare.latencies(rate, count // 4)
        waits += await spine.latencies(rate, count // 4)
    return waits, calls


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"jobs a round ({JOBS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    parser.add_argument("--ledger-url", default="", help="a fresh ledger; by default a SQLite file")
    parser.add_argument("--no-celery", action="store_true", help="leave Celery out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(
        measure(
            jobs=options.jobs,
            rounds=options.rounds,
            ledger_url=options.ledger_url,
            with_celery=not options.no_celery,
        )
    )
    if options.json:
        print(json.dumps(found))
        return
    table = Table(title=f"No-op jobs, medians of {options.rounds} rounds of {options.jobs}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in found.items():
        table.add_row(name, f"{value:,.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
