"""Test only: an installation in which everything fits together, for tests that break one thing each."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.stream import StreamState
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow, TaskRow
from coordinator.reconcile.chain_checks import ChainSide
from coordinator.reconcile.reconciler import Reconciler
from coordinator.reconcile.report import InvariantReport
from tests.settlement.memory_chain import MemorySigner
from tests.settlement.memory_run import DEPLOYMENT, Run

HOLE = 5
"""A position that the stream itself does not have."""
END = 65
"""First position that was not read: three windows of twenty, and an open one of four."""


class MemoryStream:
    """A stream in memory."""

    def __init__(self, messages: dict[int, bytes]) -> None:
        self.messages = messages
        self.first = 1
        self.last = max(messages)

    async def state(self, project_id: int) -> StreamState | None:
        return StreamState(self.first, self.last) if self.last else None

    async def message_at(self, project_id: int, position: int) -> bytes | None:
        return self.messages.get(position)


@dataclass
class Whole:
    """The installation."""

    run: Run
    stream: MemoryStream

    @property
    def ledger(self) -> Ledger:
        return self.run.ledger

    @classmethod
    async def build(cls, ledger_url: str) -> Whole:
        """Three tasks, all FINAL; each position is a reading, a dead letter or the hole."""
        run = await Run.begin(ledger_url)
        messages = {position: b"message %d" % position for position in range(1, END) if position != HOLE}
        tasks = await run.tasks()
        async with run.ledger.transaction() as session:
            for position, wire in messages.items():
                _add(session, position, wire, tasks)
            session.add(StreamCursorRow(project_id=1, next_position=END, window_start=61, open_count=4))
        await run.until("FINAL")
        await run.step()
        whole = cls(run, MemoryStream(messages))
        await whole.notify(tasks)
        return whole

    async def notify(self, tasks: list[TaskRow]) -> None:
        async with self.ledger.transaction() as session:
            session.add(
                WebhookEndpointRow(id="ep_1", project_id=1, url="https://x", secret="", events=[], created_at=1)
            )
            await session.flush()
            for number, task in enumerate(tasks):
                session.add(
                    WebhookMessageRow(
                        id=f"msg_{number}",
                        endpoint_id="ep_1",
                        project_id=1,
                        event_type="w3bstream.task.final",
                        subject=task.id,
                        body=b"{}",
                        state="DELIVERED",
                        created_at=1,
                    )
                )
                await session.flush()
                for status in (500, 204):
                    session.add(WebhookDeliveryRow(message_id=f"msg_{number}", at=1, status_code=status))

    def reconciler(self, *, chain: bool = True, stream: bool = True) -> Reconciler:
        async def stream_of(_project_id: int) -> MemoryStream:
            return self.stream

        side = ChainSide(self.run.chain, DEPLOYMENT, MemorySigner.address, moment=0.01)
        return Reconciler(self.ledger, stream_of=stream_of if stream else None, chain=side if chain else None)

    async def report(self, project_id: int | None = None) -> InvariantReport:
        return await self.reconciler().run(project_id)


def _add(session: AsyncSession, position: int, wire: bytes, tasks: list[TaskRow]) -> None:
    """Readings 1 to 3 of each window are accepted, the others refused."""
    task = next((each for each in tasks if each.window_start <= position < each.window_end), None)
    start = task.window_start if task else 61
    if position - start < 3:
        session.add(
            ReadingRow(
                project_id=1,
                position=position,
                version=1,
                device="0x01",
                sequence=position,
                timestamp=1,
                wire=wire,
                received_at=1,
                task_id=task.id if task else None,
            )
        )
    else:
        session.add(DeadLetterRow(project_id=1, position=position, code="W3B-1003", reason="refused", wire=wire, at=1))
