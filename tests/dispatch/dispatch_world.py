"""A real ledger with projects, devices, signed readings and OPEN tasks, and a double of the chain side that mines at
once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from dispatch_provers import ARTIFACT, HashProver, KeyedProver, OtherHashProver
from eth_abi.abi import encode as abi_encode
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.following import ClusterPool
from coordinator.dispatch.pool import ProverPool
from coordinator.dispatch.proving_task import to_hex
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    AttemptRow,
    DeviceRow,
    ProjectRow,
    ProjectVersionRow,
    ProverRow,
    ReadingRow,
    TaskEventRow,
    TaskRow,
)
from coordinator.scheduling.values import Limits
from coordinator.settings import Settings
from provers.protocol import Program, Prover
from tests.patience import PATIENCE
from verifier.commitment import POSEIDON_BN254_V1
from verifier.completeness import Completeness
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Domain, Opening, program_id, task_id

DOMAIN = Domain(4690, b"\x11" * 20)
KEY = DeviceKey(KeyType.SECP256K1, bytes(31) + b"\x07")
CAPACITY = 2
FAST = Limits(lease_ms=1_500, heartbeat_ms=200, attempt_ms=1_000_000, backoff_first_ms=20, backoff_most_ms=100)
PROVERS: dict[str, type[HashProver]] = {
    "test.hash": HashProver,
    "test.other": OtherHashProver,
    "tee.sgx": KeyedProver,
}


class World:
    """One installation: its home folder, its ledger, and the programs of the two test kinds.

    Parameters: `ledger_url` is a ledger of its own; SQLite in `home` when it is empty.
    """

    def __init__(
        self, home: Path, kinds: tuple[str, ...] = ("test.hash",), workers: int = 2, ledger_url: str = ""
    ) -> None:
        self.home = home
        self.kinds = kinds
        self.settings = Settings(home=home, provers=workers, ledger_url=ledger_url)
        self.ledger = Ledger(self.settings.ledger)
        self.provers: dict[str, Prover] = {kind: PROVERS[kind]() for kind in kinds}
        self.programs = {}
        for kind in kinds:
            folder = home / "programs" / kind
            folder.mkdir(parents=True, exist_ok=True)
            self.programs[kind] = Program(kind, kind, folder)
        self.next_position = 1
        self.ended: list[tuple[str, str]] = []

    def behave(self, behaviour: str, kind: str = "test.hash") -> None:
        (self.programs[kind].folder / "behaviour").write_text(behaviour)

    def dispatcher(self, pool: ProverPool, limits: Limits = FAST, cluster: ClusterPool | None = None) -> Dispatcher:
        async def on_ended(_session: object, _now: int, task: TaskRow) -> None:
            self.ended.append((task.id, task.state))

        entries = {kind: f"dispatch_provers:{PROVERS[kind].__name__}" for kind in self.kinds}
        return Dispatcher(
            self.ledger,
            pool,
            self.settings,
            DOMAIN,
            self.provers,
            programs=self.programs,
            entries=entries,
            limits=limits,
            on_task_ended=on_ended,
            cluster=cluster,
        )

    async def create(self) -> None:
        await self.ledger.migrate()

    async def project(self, project_id: int = 1, threshold: int = 1, config: dict[str, object] | None = None) -> None:
        now = self.ledger.clock()
        root = to_hex(POSEIDON_BN254_V1.device_set_root([KEY.registration()]))
        programs = [
            {"kind": kind, "name": kind, "program_id": to_hex(program_id(kind, ARTIFACT)), "verifier": "0x" + "22" * 20}
            for kind in self.kinds
        ]
        async with self.ledger.transaction() as session:
            session.add(
                ProjectRow(id=project_id, name=f"project {project_id}", owner_key_id="k", version=1, created_at=now)
            )
            await session.flush()
            session.add(
                ProjectVersionRow(
                    project_id=project_id,
                    version=1,
                    file="",
                    config=config or {},
                    config_hash="0x",
                    device_set_root=root,
                    scheme=POSEIDON_BN254_V1.name,
                    window_capacity=CAPACITY,
                    window_max_age_ms=1000,
                    programs=programs,
                    threshold=threshold,
                    state="PUBLISHED",
                    created_at=now,
                )
            )
            device = KEY.registration("the one")
            session.add(
                DeviceRow(
                    project_id=project_id,
                    version=1,
                    position=0,
                    device=to_hex(device.device),
                    key_type=int(device.key_type),
                    public_key=to_hex(device.public_key),
                )
            )

    async def task(
        self,
        project_id: int = 1,
        *,
        threshold: int = 1,
        deadline_ms: int = 600_000,
        confirm: str = "",
        confirm_within: int = 0,
    ) -> str:
        """An OPEN task over two signed readings, 20 and 22; `confirm` is the kind of its second stage."""
        now = self.ledger.clock()
        start = self.next_position
        self.next_position += CAPACITY
        readings = [KEY.sign(project_id, start + n, now, (20 + 2 * n).to_bytes(4, "big")) for n in range(CAPACITY)]
        roots = (
            POSEIDON_BN254_V1.readings_root(readings, CAPACITY),
            POSEIDON_BN254_V1.device_set_root([KEY.registration()]),
        )
        opening = Opening(*roots, start, start + CAPACITY, CAPACITY, Completeness())
        name = to_hex(task_id(project_id, 1, start, start + CAPACITY))
        async with self.ledger.transaction() as session:
            session.add(
                TaskRow(
                    id=name,
                    project_id=project_id,
                    version=1,
                    window_start=start,
                    window_end=start + CAPACITY,
                    count=CAPACITY,
                    readings_root=to_hex(roots[0]),
                    device_set_root=to_hex(roots[1]),
                    inputs=to_hex(opening.commitment()),
                    state="OPEN",
                    kinds=list(self.kinds),
                    threshold=threshold,
                    confirm_kind=confirm,
                    confirm_within=confirm_within,
                    deadline_at=now + deadline_ms,
                    first_reading_at=now,
                    created_at=now,
                    updated_at=now,
                )
            )
            await session.flush()
            for at, reading in enumerate(readings):
                session.add(
                    ReadingRow(
                        project_id=project_id,
                        position=start + at,
                        version=1,
                        device=to_hex(reading.device),
                        sequence=reading.sequence,
                        timestamp=reading.timestamp,
                        wire=reading.to_wire(),
                        received_at=now,
                        task_id=name,
                    )
                )
        return name

    async def get_task(self, name: str) -> TaskRow:
        async with self.ledger.reading() as session:
            return await session.get_one(TaskRow, name)

    async def attempts(self, name: str) -> list[AttemptRow]:
        async with self.ledger.reading() as session:
            rows = await session.exec(select(AttemptRow).where(AttemptRow.task_id == name).order_by(col(AttemptRow.id)))
            return list(rows)

    async def states(self, name: str) -> list[str]:
        return [attempt.state for attempt in await self.attempts(name)]

    async def events(self, name: str) -> list[TaskEventRow]:
        async with self.ledger.reading() as session:
            rows = await session.exec(
                select(TaskEventRow).where(TaskEventRow.task_id == name).order_by(col(TaskEventRow.id))
            )
            return list(rows)

    async def prover_rows(self) -> dict[str, ProverRow]:
        async with self.ledger.reading() as session:
            return {row.id: row for row in await session.exec(select(ProverRow))}

    async def set_project_state(self, project_id: int, state: str) -> None:
        async with self.ledger.transaction() as session:
            project = await session.get_one(ProjectRow, project_id)
            project.state = state
            session.add(project)

    async def drain(self, prover_id: str, *, drain: bool) -> None:
        async with self.ledger.transaction() as session:
            prover = await session.get_one(ProverRow, prover_id)
            prover.draining = drain
            session.add(prover)

    async def until(self, holds: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
        """Wait until `holds` is true; fails after `seconds`."""
        async with asyncio.timeout(seconds * PATIENCE):
            while not await holds():
                await asyncio.sleep(0.02)

    async def reach(self, name: str, state: str, seconds: float = 20.0) -> TaskRow:
        async def holds() -> bool:
            return (await self.get_task(name)).state == state

        await self.until(holds, seconds)
        return await self.get_task(name)


class Chain:
    """The chain side's double: every prover's registration and every attempt's assignment is mined, unless it is
    `down`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.down = False
        self.refuse = False
        self.operators: dict[str, str] = {}
        """Whom a prover's registration names, by prover id."""

    async def run(self) -> None:
        while True:
            if not self.down:
                await self.mine()
            await asyncio.sleep(0.02)

    async def mine(self) -> None:
        async with self.ledger.reading() as session:
            attempts = list(
                await session.exec(
                    select(AttemptRow.id).where(AttemptRow.state == "ASSIGNED", col(AttemptRow.assign_tx).is_(None))
                )
            )
            provers = list(await session.exec(select(ProverRow.id).where(col(ProverRow.register_tx).is_(None))))
        if not attempts and not provers:
            return
        async with self.ledger.transaction() as session:
            for attempt_id in attempts:
                attempt = await session.get_one(AttemptRow, attempt_id)
                attempt.assign_tx = await self._tx(session, f"assign:{attempt_id}", "apply_batch")
                session.add(attempt)
            for prover_id in provers:
                prover = await session.get_one(ProverRow, prover_id)
                prover.register_tx = await self._tx(session, f"register:{prover_id}", "register_prover")
                prover.operator = self.operators.get(prover_id, "")
                session.add(prover)

    async def _tx(self, session: AsyncSession, key: str, purpose: str) -> int:
        data = abi_encode(["string"], [key])
        now = self.ledger.clock()
        tx = await enqueue_tx(session, now, dedupe_key=key, purpose=purpose, to="0x" + "33" * 20, data=data, ref={})
        row = await session.get_one(OutboxTxRow, tx)
        row.state = "REFUSED" if self.refuse and purpose == "apply_batch" else "MINED"
        row.code = "W3B-5003" if row.state == "REFUSED" else ""
        return tx


@asynccontextmanager
async def background(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Service:
    """Starts and stops dispatchers over one world; at the end stops what still runs."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self.world = world
        self._stack = stack

    async def start(self, pool: ProverPool, limits: Limits = FAST) -> Dispatcher:
        dispatcher = self.world.dispatcher(pool, limits)
        await self._stack.enter_async_context(background(dispatcher.run()))
        self._stack.push_async_callback(dispatcher.stop)
        await asyncio.sleep(0)
        return dispatcher
