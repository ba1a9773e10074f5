"""Test only: a ledger with one project and a few tasks on the chain in memory, a sender, and a dispatcher that proves at
once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.openings import opening_of
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger, move_attempt, move_task
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.settlement.collector import CollectorLimits
from coordinator.settlement.finality import Finality
from coordinator.settlement.sending import SenderLimits
from coordinator.settlement.service import Settlement
from tests.settlement.memory_chain import CHAIN_ID, MemoryChain, MemorySigner
from verifier.bindings import Deployment

KIND = "test.kind"
TASKS = 3
DEPLOYMENT = Deployment(CHAIN_ID, 1, *(f"0x{number:040x}" for number in range(0xA1, 0xA6)))
LIMITS = SenderLimits(resend_seconds=0.0, gap_seconds=0.0)
IMPATIENT = SenderLimits(resend_seconds=0.0, gap_seconds=0.0, bump_seconds=0.0)


@dataclass
class Run:
    """One ledger, one chain, and whoever plays the dispatcher."""

    ledger: Ledger
    chain: MemoryChain
    time: list[int]
    told: Counter[str] = field(default_factory=Counter)
    settlement: Settlement = field(init=False)

    def restart(self, limits: SenderLimits = LIMITS) -> None:
        async def tell(_session: AsyncSession, _now: int, task: TaskRow, _proof: object = None) -> None:
            self.told[f"{task.id} {task.state}"] += 1

        self.settlement = Settlement(
            self.ledger,
            self.chain,
            MemorySigner(),
            DEPLOYMENT,
            finality=Finality("rpc-finalized"),
            tell=tell,
            sender_limits=limits,
            collector_limits=CollectorLimits(status_seconds=0.0, refresh_seconds=1e9),
        )

    async def step(self) -> None:
        """A look of the sender, and what the dispatcher does about it."""
        self.time[0] += 3000
        await self.settlement.step()
        await self._dispatch()

    async def _dispatch(self) -> None:
        now = self.ledger.clock()
        async with self.ledger.transaction() as session:
            for task in (await session.exec(select(TaskRow).where(TaskRow.state == TaskState.OPEN.value))).all():
                live = await session.exec(
                    select(AttemptRow).where(
                        AttemptRow.task_id == task.id,
                        col(AttemptRow.state).in_(("ASSIGNED", "PROVING", "PROVED", "POSTED", "VERIFIED")),
                    )
                )
                held = live.all()
                if not held:
                    session.add(_attempt(task, now))
                    task.next_fence += 1
                    session.add(task)
                for attempt in held:
                    await _prove(session, now, attempt)

    @classmethod
    async def begin(cls, url: str, limits: SenderLimits = LIMITS, tasks: int = TASKS) -> Run:
        """A fresh one; it becomes the ledger's owner: `await run.ledger.close()`."""
        time = [1_700_000_000_000]
        ledger = Ledger(url, clock=lambda: time[0])
        run = cls(ledger, MemoryChain(DEPLOYMENT, lambda: time[0]), time)
        run.restart(limits)
        async with ledger.transaction() as session:
            session.add_all(rows_of(time[0], tasks))
        return run

    async def close_window(self) -> None:
        """The next window, as the intake leaves it."""
        number = len(await self.tasks())
        async with self.ledger.transaction() as session:
            session.add(task_row(number, self.ledger.clock()))

    async def until(self, state: str, rounds: int = 60) -> None:
        """Step and mine until every task is in the state."""
        for _ in range(rounds):
            if all(task.state == state for task in await self.tasks()):
                return
            await self.step()
            self.chain.mine()
        raise AssertionError([task.state for task in await self.tasks()])

    async def outbox(self, *states: str) -> list[OutboxTxRow]:
        async with self.ledger.reading() as session:
            query = select(OutboxTxRow).order_by(col(OutboxTxRow.id))
            if states:
                query = query.where(col(OutboxTxRow.state).in_(states))
            return list((await session.exec(query)).all())

    async def ladder(self, row: OutboxTxRow) -> list[str]:
        async with self.ledger.reading() as session:
            found = await session.exec(
                select(TxEventRow.target).where(TxEventRow.tx_id == row.id).order_by(col(TxEventRow.id))
            )
            return list(found.all())

    async def tasks(self) -> list[TaskRow]:
        async with self.ledger.reading() as session:
            return list((await session.exec(select(TaskRow).order_by(col(TaskRow.window_start)))).all())


def _attempt(task: TaskRow, now: int) -> AttemptRow:
    return AttemptRow(
        task_id=task.id,
        kind=KIND,
        program_id="0x" + "07" * 32,
        prover_id="one",
        prover_address="0x" + "11" * 20,
        fence=task.next_fence,
        lease_expires_at=now + 60_000,
        heartbeat_at=now,
        deadline_at=now + 600_000,
        created_at=now,
        updated_at=now,
    )


async def _prove(session: AsyncSession, now: int, attempt: AttemptRow) -> None:
    """A proof as soon as the assignment is mined."""
    if attempt.state != "ASSIGNED" or attempt.assign_tx is None:
        return
    if (await session.get_one(OutboxTxRow, attempt.assign_tx)).state not in ("MINED", "SAFE", "FINAL"):
        return
    assert attempt.id is not None
    output = keccak(attempt.task_id.encode())
    await move_attempt(session, now, attempt.id, attempt.fence, AttemptState.PROVING)
    values = {"output": "0x" + keccak(output).hex(), "public_output": output, "proof": b"proof"}
    await move_attempt(session, now, attempt.id, attempt.fence, AttemptState.PROVED, **values)
    await move_task(session, now, attempt.task_id, TaskState.SATISFIED)


def rows_of(now: int, count: int = TASKS) -> list[Any]:
    version = ProjectVersionRow(
        project_id=1,
        version=1,
        file="",
        config={},
        config_hash="0x01",
        device_set_root="0x" + "02" * 32,
        scheme="poseidon-bn254-v1",
        window_capacity=16,
        window_max_age_ms=1000,
        programs=[],
        state="PUBLISHED",
        created_at=now,
    )
    prover = ProverRow(id="one", kind=KIND, address="0x" + "11" * 20, status="IDLE", created_at=now, updated_at=now)
    tasks = [task_row(number, now) for number in range(count)]
    return [ProjectRow(id=1, name="p", owner_key_id="k", version=1, created_at=now), version, prover, *tasks]


def task_row(number: int, now: int) -> TaskRow:
    """The task of the window [1 + 20 n, 21 + 20 n)."""
    task = TaskRow(
        id="",
        project_id=1,
        version=1,
        window_start=1 + 20 * number,
        window_end=21 + 20 * number,
        count=3,
        readings_root=f"0x{number:064x}",
        device_set_root="0x" + "02" * 32,
        inputs="",
        kinds=[KIND],
        deadline_at=now + 10**9,
        first_reading_at=now,
        created_at=now,
        updated_at=now,
    )
    task.id = "0x" + keccak(_window(task)).hex()
    task.inputs = "0x" + opening_of(task).commitment().hex()
    return task


def _window(task: TaskRow) -> bytes:
    words = (task.project_id, task.version, task.window_start, task.window_end)
    return b"".join(word.to_bytes(32, "big") for word in words)
