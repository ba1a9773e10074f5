"""What each side of a chaos run has in its books: the devices, the ledger, the webhook receiver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import col, select

from coordinator.chaos.load import Record
from coordinator.chaos.receiver import Delivery, read_record
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, TaskRow
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, TaskState

PROVEN = frozenset({TaskState.SATISFIED.value, TaskState.SETTLED.value, TaskState.FINAL.value})
SETTLED = frozenset({TaskState.SETTLED.value, TaskState.FINAL.value})
FINAL = TaskState.FINAL.value


@dataclass(frozen=True)
class Accepted:
    """A reading as the ledger has it."""

    project_id: int
    wire: bytes
    task_id: str | None
    """Its window; None while that is open."""


@dataclass(frozen=True)
class DeadLetter:
    """A refused message as the ledger has it."""

    project_id: int
    position: int
    wire: bytes
    code: str
    """Why."""


@dataclass(frozen=True)
class Facts:
    """Everything that the verdict follows from, but for what the service's own comparison says."""

    record: Record
    """The devices'."""
    readings: Sequence[Accepted] = ()
    dead: Sequence[DeadLetter] = ()
    tasks: dict[str, str] = field(default_factory=dict)
    """State by task."""
    messages: dict[str, str] = field(default_factory=dict)
    """State by webhook-id."""
    deliveries: Sequence[Delivery] = ()
    """The receiver's."""

    def notified(self) -> set[str]:
        """The tasks of which the receiver heard and said so."""
        return {each.subject for each in self.deliveries if each.status < 300}

    def readings_in(self, tasks: set[str]) -> int:
        """Readings whose window is one of these tasks."""
        return sum(each.task_id in tasks for each in self.readings)

    def counts(self) -> dict[str, int]:
        """Readings that were accepted, proven, settled and told by webhook; equal once everything is done."""
        states = self.tasks.items()
        return {
            "accepted": len(self.readings),
            "proven": self.readings_in({task for task, state in states if state in PROVEN}),
            "settled": self.readings_in({task for task, state in states if state in SETTLED}),
            "notified": self.readings_in(self.notified()),
        }

    def at_rest(self) -> bool:
        """Whether nothing is under way: every window closed, every task ended, every message delivered or given up, and
        everything that was acknowledged taken."""
        ended = all(state in TERMINAL_TASK_STATES for state in self.tasks.values())
        told = all(state != "PENDING" for state in self.messages.values())
        closed = all(each.task_id for each in self.readings)
        return bool(self.tasks) and ended and told and closed and not self.missing() and not self.unread()

    def missing(self) -> set[tuple[int, bytes]]:
        """Acknowledged messages that are neither accepted nor dead letters."""
        accepted = {(each.project_id, each.wire) for each in self.readings}
        return self.record.acknowledged - accepted - {(each.project_id, each.wire) for each in self.dead}

    def unread(self) -> set[tuple[int, int]]:
        """Positions that NATS gave to noise and at which there is no dead letter."""
        return self.record.positions - {(each.project_id, each.position) for each in self.dead}


async def gather(ledger: Ledger, project_ids: Sequence[int], record: Record, folder: Path) -> Facts:
    """The facts about these projects now. Raises Unavailable (W3B-3021, W3B-3024) when the ledger does not answer.

    Parameters: `folder` is the receiver's. One consistent read of the ledger; the other books are read before it, so
    that the ledger is never behind them.
    """
    # A copy first: the devices go on meanwhile.
    seen = Record(set(record.acknowledged), set(record.positions), dict(record.refused), record.unheard)
    deliveries = read_record(folder)
    async with ledger.reading() as session:
        readings = await session.exec(
            select(ReadingRow.project_id, ReadingRow.wire, ReadingRow.task_id).where(
                col(ReadingRow.project_id).in_(project_ids)
            )
        )
        dead = await session.exec(
            select(DeadLetterRow.project_id, DeadLetterRow.position, DeadLetterRow.wire, DeadLetterRow.code).where(
                col(DeadLetterRow.project_id).in_(project_ids)
            )
        )
        tasks = await session.exec(select(TaskRow.id, TaskRow.state).where(col(TaskRow.project_id).in_(project_ids)))
        messages = await session.exec(
            select(WebhookMessageRow.id, WebhookMessageRow.state).where(
                col(WebhookMessageRow.project_id).in_(project_ids)
            )
        )
        return Facts(
            seen,
            [Accepted(*row) for row in readings],
            [DeadLetter(*row) for row in dead],
            dict(tasks.all()),
            dict(messages.all()),
            deliveries,
        )
