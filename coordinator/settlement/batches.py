"""Batches for FleetManagement: what one `applyBatch` transaction carries, by reference to ledger rows.

The outbox row's ref lists the items; its call data is made of the rows they name, none of which changes afterwards.
The contract takes a batch whole or not at all: one bad item refuses it. `first_bad` finds that item by simulating
prefixes, in the order in which the contract works (statuses, tasks, assignments).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.openings import opening_of
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from verifier import bindings
from verifier.bindings import Assignment, ProverStatus, Revert, StatusUpdate, TaskRecord

ORDER = ("statuses", "tasks", "assignments")
"""The contract's order."""


@dataclass(frozen=True)
class BatchItem:
    """One item of a batch."""

    kind: str
    """`statuses`, `tasks` or `assignments`."""
    id: str | int
    """Prover's address (0x lower-case hex), task's id or attempt's id."""
    status: str = ""
    """The status to mirror, for `statuses`."""


def ref_of(items: Sequence[BatchItem]) -> dict[str, Any]:
    """The outbox row's ref."""
    return {
        "statuses": [[item.id, item.status] for item in items if item.kind == "statuses"],
        "tasks": [item.id for item in items if item.kind == "tasks"],
        "assignments": [item.id for item in items if item.kind == "assignments"],
    }


def items_of(ref: Mapping[str, Any]) -> list[BatchItem]:
    """The items of a ref in the contract's order."""
    return [
        *(BatchItem("statuses", address, status) for address, status in ref["statuses"]),
        *(BatchItem("tasks", task_id) for task_id in ref["tasks"]),
        *(BatchItem("assignments", attempt_id) for attempt_id in ref["assignments"]),
    ]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def task_record(task: TaskRow) -> TaskRecord:
    """What FleetManagement records of a task."""
    return TaskRecord(task.project_id, task.version, opening_of(task))


def assignment(attempt: AttemptRow) -> Assignment:
    """What FleetManagement records of an attempt. The ledger's deadline is rounded down to a whole second."""
    return Assignment(
        task_id=_bytes(attempt.task_id),
        prover=_bytes(attempt.prover_address),
        kind=bindings.kind_hash(attempt.kind),
        deadline=attempt.deadline_at // 1000,
        fence=attempt.fence,
    )


async def encode(session: AsyncSession, items: Sequence[BatchItem]) -> bytes:
    """Call data of `applyBatch`."""
    tasks, assignments, statuses = [], [], []
    for item in items:
        if item.kind == "tasks":
            tasks.append(task_record(await session.get_one(TaskRow, item.id)))
        elif item.kind == "assignments":
            assignments.append(assignment(await session.get_one(AttemptRow, item.id)))
        else:
            statuses.append(StatusUpdate(_bytes(str(item.id)), ProverStatus[item.status]))
    return bindings.apply_batch(tasks, assignments, statuses)


async def release(session: AsyncSession, row: OutboxTxRow) -> None:
    """Give the items of a refused batch back to the collector."""
    await session.exec(
        update(TaskRow)
        .where(col(TaskRow.record_tx) == row.id, col(TaskRow.state) == TaskState.RECEIVED.value)
        .values(record_tx=None)
    )
    await session.exec(
        update(AttemptRow)
        .where(col(AttemptRow.assign_tx) == row.id, col(AttemptRow.state) == AttemptState.ASSIGNED.value)
        .values(assign_tx=None)
    )
    addresses = [address for address, _ in row.ref["statuses"]]
    await session.exec(update(ProverRow).where(func.lower(ProverRow.address).in_(addresses)).values(mirrored_status=""))


async def first_bad(count: int, refusal: Callable[[int], Awaitable[Revert | None]]) -> tuple[int, Revert] | None:
    """Index of the first of `count` items that is refused, and why; None when all of them pass now.

    `refusal(n)` says why the first n items together are refused. Binary search: about log2(count) + 1 calls.
    """
    why = await refusal(count)
    if why is None:
        return None
    good, bad = 0, count
    while bad - good > 1:
        middle = (good + bad) // 2
        found = await refusal(middle)
        if found is None:
            good = middle
        else:
            bad, why = middle, found
    return bad - 1, why
