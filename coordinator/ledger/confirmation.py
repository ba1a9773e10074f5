"""The second stage of a task's assurance ("TEE now, ZK within the hour"), apart from the task's own states, for a task
may be FINAL long before its confirming proof is there.

Rules:
1. It begins, AWAITED, in the very statement that makes the task SATISFIED (`awaited`): never before.
2. Every later change of `TaskRow.confirmation` goes through `move_confirmation`, which looks into
   `transitions.CONFIRMATION_TRANSITIONS` and writes a line into the task's timeline.
3. MISSED is no end: a proof that was under way when the time was over still makes it CONFIRMED, late.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, literal_column, update
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.bulk import TASKS
from coordinator.ledger.store import get_task, record_event
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import CONFIRMATION_TRANSITIONS, CONFIRMING_TASK_STATES, Confirmation
from verifier.errors import Conflict

_CONFIRMING = sorted(CONFIRMING_TASK_STATES)
SUBJECT = "confirmation"
"""Of the lines in the timeline."""


def awaited(row: Any, now: int) -> dict[str, Any]:
    """What to set beside SATISFIED in a task (its row, or the columns `confirm_kind`, `confirm_within` and
    `confirmation` of it): its time begins; nothing for a task without a second stage or with a proof of it."""
    if not row.confirm_kind or Confirmation(row.confirmation) in (Confirmation.CONFIRMED, Confirmation.CONTRADICTED):
        return {}
    return {
        "confirmation": Confirmation.AWAITED.value,
        "confirm_by": now + row.confirm_within * 1000,
        "confirmation_at": now,
        "confirm_code": "",
        "confirm_reason": "",
    }


def is_awaited() -> ColumnElement[bool]:
    """The condition on tasks, in the words of the indexes that hold it."""
    return TASKS.c.confirmation == literal_column("'AWAITED'")


def wants_confirmation() -> ColumnElement[bool]:
    """The condition on tasks that an attempt of the confirming kind may be made now, as far as their states go."""
    return and_(is_awaited(), TASKS.c.state.in_(_CONFIRMING))


def is_confirming(kind: Any) -> ColumnElement[bool]:
    """The condition that `kind`, a column of an attempt, is the confirming kind of its task, which is so far."""
    return and_(kind == TASKS.c.confirm_kind, TASKS.c.state.in_(_CONFIRMING))


async def move_confirmation(
    session: AsyncSession, now: int, task_id: str, target: Confirmation, *, reason: str = "", code: str = ""
) -> TaskRow:
    """Move a task's confirmation along its table. Raises NotFound (W3B-3003), and Conflict (W3B-3001) when the table
    has no such way."""
    task = await get_task(session, task_id)
    source = Confirmation(task.confirmation)
    ways = CONFIRMATION_TRANSITIONS[source]
    if target not in ways:
        what = f"the confirmation of task {task_id} is {source or 'not begun'}; it cannot become {target}"
        raise Conflict("W3B-3001", what, field="confirmation")
    why = reason or ways[target]
    done = await session.exec(
        update(TaskRow)
        .where(TASKS.c.id == task_id, TASKS.c.confirmation == source.value)
        .values(confirmation=target.value, confirmation_at=now, confirm_code=code, confirm_reason=why)
    )
    if done.rowcount != 1:
        raise Conflict("W3B-3001", f"the confirmation of task {task_id} moved meanwhile", field="confirmation")
    await record_event(session, now, task, subject=SUBJECT, source=source, target=target, reason=why, code=code)
    await session.refresh(task)
    return task


def may_become(task: TaskRow, target: Confirmation) -> bool:
    """Whether the table has a way from where the task's confirmation is."""
    return target in CONFIRMATION_TRANSITIONS[Confirmation(task.confirmation)]
