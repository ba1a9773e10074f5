"""The dead letters of tasks: what FAILED or EXPIRED, put back by an operator with a fresh retry cap."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch.fleet import REGISTERED
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import get_task, move_task
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.ledger.transitions import DEAD_TASK_STATES, AttemptState, Confirmation, TaskState
from verifier.errors import Conflict, InvalidInput

MOST_AT_ONCE = 1_000
"""Tasks that one call puts back; a second call goes on where it stopped."""


async def requeue(session: AsyncSession, now: int, task_id: str, *, reason: str, deadline_at: int = 0) -> TaskRow:
    """Put a FAILED or EXPIRED task back.

    It becomes OPEN where FleetManagement has its record, else RECEIVED. Attempts that it lost before count no more.
    Parameters: `deadline_at` is its new deadline, milliseconds; 0 keeps the old one, or where that has passed gives it
    as long again as it had at first.
    Raises NotFound (W3B-3003), InvalidInput (W3B-3006) for a deadline that has passed, and Conflict: W3B-3001 for a
    task in another state, W3B-3083 for one of which the chain has accepted proofs.
    """
    task = await get_task(session, task_id)
    if TaskState(task.state) not in DEAD_TASK_STATES:
        raise Conflict("W3B-3001", f"task {task_id} is {task.state}, not FAILED or EXPIRED", field="state")
    if deadline_at and deadline_at <= now:
        raise InvalidInput("W3B-3006", f"deadline {deadline_at} is not after now, {now}", field="deadline")
    accepted = await session.exec(
        select(AttemptRow.id)
        .where(AttemptRow.task_id == task_id, AttemptRow.state == AttemptState.VERIFIED.value)
        .limit(1)
    )
    if accepted.first() is not None:
        raise Conflict("W3B-3083", f"the Router has accepted a proof of task {task_id}", field="task_id")
    if not deadline_at and task.deadline_at <= now:
        deadline_at = now + max(1, task.deadline_at - task.created_at)
    record = await session.get(OutboxTxRow, task.record_tx, populate_existing=True) if task.record_tx else None
    values: dict[str, Any] = {
        "deadline_at": deadline_at or task.deadline_at,
        "attempts_used": 0,
        "counted_from": task.next_fence,
        "next_attempt_at": 0,
        "requeues": task.requeues + 1,
        "confirmation": Confirmation.NONE.value,
        "confirm_by": None,
        "confirm_attempts_used": 0,
        "confirm_next_at": 0,
    }
    if record is None or record.state == "REFUSED":
        values["record_tx"] = None
    is_recorded = record is not None and record.state in REGISTERED
    target = TaskState.OPEN if is_recorded else TaskState.RECEIVED
    return await move_task(session, now, task_id, target, reason=reason, **values)


async def dead_tasks(session: AsyncSession, project_id: int, code: str = "") -> list[str]:
    """FAILED and EXPIRED tasks of a project, with this error code if one is given; oldest first, at most
    `MOST_AT_ONCE`."""
    query = select(TaskRow.id).where(TaskRow.project_id == project_id, col(TaskRow.state).in_(sorted(DEAD_TASK_STATES)))
    if code:
        query = query.where(TaskRow.code == code)
    found = await session.exec(query.order_by(col(TaskRow.created_at), col(TaskRow.id)).limit(MOST_AT_ONCE))
    return list(found)
