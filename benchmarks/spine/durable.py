"""Durable no-op jobs: a ledger on disk, the dispatcher on Ray, and a stand-in for the chain.

Tasks are put into the ledger as the intake puts them (task, readings and timeline, many in one transaction), leased,
proven by a prover of `noop.py` on Ray, verified, committed PROVED and SATISFIED. The chain is left out: a stand-in takes
assignments as mined, in transactions of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from benchmarks.spine.noop import KIND, PROGRAM_ID, NoopProver
from benchmarks.spine.peers import WORKERS
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.ray_pool import RayPool
from coordinator.dispatch.ray_runtime import SOURCE_ROOT
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
MOST_WORKERS = 64
"""More than any cluster here has room for: all of its room is used."""
DOMAIN = Domain(4690, b"\x11" * 20)
KEY = DeviceKey(KeyType.SECP256K1, bytes(31) + b"\x07")
STAND_IN = "stand-in"
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

        if await self._ledger.read(waiting, brief=True):
            await self._ledger.write(mine)

    async def prepare(self) -> None:
        """One mined transaction, which all assignments name: a batch of the chain carries eighty."""
        found = select(OUTBOX.c.id).where(OUTBOX.c.dedupe_key == STAND_IN)
        self._mined = await self._ledger.read(lambda connection: connection.execute(found).scalar())
        if self._mined is None:
            await self._add()

    async def _add(self) -> None:
        now = self._ledger.clock()
        values = {
            "dedupe_key": STAND_IN,
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
    """A ledger, a dispatcher on Ray and the stand-in for the chain.

    Parameters: `prover` is the class of `noop.py` that workers run; with `address` they are as many as the nodes of the
    Ray cluster there have room for, else `WORKERS` on this process's own Ray.
    """

    def __init__(self, ledger: Ledger, home: Path, *, prover: type[NoopProver] = NoopProver, address: str = "") -> None:
        self.ledger = ledger
        self.jobs = Jobs()
        self._home = home
        self._ends: dict[str, asyncio.Event] = {}
        self._arrived: list[asyncio.Future[str]] = []
        self._putting: asyncio.Task[None] | None = None
        self._pool = RayPool(home, {KIND: WORKERS}, address=address, import_paths=(SOURCE_ROOT,))
        folder = home / "program"
        folder.mkdir(exist_ok=True)
        self._dispatcher = Dispatcher(
            ledger,
            self._pool,
            Settings(home=home, provers=WORKERS, provers_min=MOST_WORKERS, provers_max=MOST_WORKERS),
            DOMAIN,
            {KIND: NoopProver()},
            programs={"noop": Program("noop", KIND, folder)},
            entries={KIND: f"{prover.__module__}:{prover.__name__}"},
            cluster=self._pool if address else None,
        )

    async def prepare(self) -> None:
        """The ledger's schema, and the project in it."""
        await self.ledger.migrate()
        await prepare_project(self.ledger, self.jobs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Spine]:
        """Up until the block ends, on a ledger that is prepared."""
        chain = ChainStandIn(self.ledger)
        await chain.prepare()
        dispatcher = self._dispatcher
        mining = asyncio.create_task(chain.run())
        dispatching = asyncio.create_task(dispatcher.run())
        following = asyncio.create_task(self._follow())
        try:
            yield self
        finally:
            await dispatcher.stop()
            mining.cancel()
            following.cancel()
            await asyncio.gather(mining, following, dispatching, return_exceptions=True)
            await self.ledger.close()

    async def warm(self) -> None:
        """Until workers are up and depths are measured."""
        await self.done(await submit(self.ledger, self.jobs, 8))

    async def crew_of(self, count: int, seconds: float = 300.0) -> None:
        """Wait until `count` workers are ready."""
        async with asyncio.timeout(seconds):
            while sum(worker.ready for worker in self._pool.workers()) != count:  # noqa: ASYNC110  Ray starts them
                await asyncio.sleep(0.1)

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
            rows = await self.ledger.read(satisfied, brief=True)
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

    async def _put(self) -> str:
        """Commit one task, with whatever else came meanwhile: so does the intake, which takes all that has arrived."""
        mine: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._arrived.append(mine)
        if self._putting is None:
            self._putting = asyncio.create_task(self._put_all())
        return await mine

    async def _put_all(self) -> None:
        try:
            while self._arrived:
                batch, self._arrived = self._arrived, []
                for waiting, name in zip(batch, await submit(self.ledger, self.jobs, len(batch)), strict=True):
                    waiting.set_result(name)
        finally:
            self._putting = None

    async def latencies(self, rate: float, count: int) -> list[float]:
        """Milliseconds from a single submit to its committed result, at `rate` jobs a second."""
        waits: list[float] = []

        async def one() -> None:
            began = time.perf_counter()
            await self.done([await self._put()])
            waits.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                group.create_task(one())
        return waits
