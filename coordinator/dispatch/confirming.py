"""The second stage while it is awaited: its lost attempts counted, and its end where no proof came. Each function is
called in a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch.snapshot import LEASED, LOST, count_losses
from coordinator.ledger.confirmation import move_confirmation
from coordinator.ledger.store import get_task
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.ledger.transitions import CONFIRMING_TASK_STATES, AttemptState, Confirmation, TaskState
from coordinator.scheduling.retry import is_exhausted, next_delay_ms
from coordinator.scheduling.values import Limits

TaskEnded = Callable[[AsyncSession, int, TaskRow], Awaitable[None]]
"""Called in the same transaction with (session, now, task) when a task becomes FAILED, EXPIRED or FROZEN, and when its
confirmation becomes MISSED or CONTRADICTED."""
_UNDER_WAY = (*LEASED, AttemptState.PROVED.value, AttemptState.POSTED.value)
_POSTED = (AttemptState.POSTED.value, AttemptState.VERIFIED.value)


async def recount(session: AsyncSession, now: int, task: TaskRow, limits: Limits, ended: TaskEnded) -> None:
    """Count a task's lost attempts at its confirmation, set the pause that follows, and give it up at the cap; nothing
    for a task that awaits none. What is still under way is waited for. The task itself stays as it is."""
    if task.confirmation != Confirmation.AWAITED.value:
        return
    mine = (col(AttemptRow.task_id) == task.id, col(AttemptRow.kind) == task.confirm_kind)
    codes = await session.exec(
        select(AttemptRow.code).where(
            *mine, col(AttemptRow.state).in_(LOST), col(AttemptRow.fence) >= task.counted_from
        )
    )
    lost = count_losses(codes.all(), limits)
    if lost > task.confirm_attempts_used:
        pause = next_delay_ms(lost, task.id, limits)
        await session.exec(
            update(TaskRow)
            .where(col(TaskRow.id) == task.id)
            .values(confirm_attempts_used=lost, confirm_next_at=now + pause)
        )
    if is_exhausted(lost, limits):
        live = await session.exec(select(AttemptRow.id).where(*mine, col(AttemptRow.state).in_(_UNDER_WAY)).limit(1))
        if live.first() is None:
            reason = f"{lost} attempts at it failed, the cap is {limits.attempt_cap}"
            await _miss(session, now, task.id, ended, reason=reason)


async def overdue(session: AsyncSession, now: int, task_id: str, ended: TaskEnded) -> None:
    """Give up a task's confirmation when its time is over. Attempts that are under way go on: late is better than
    never."""
    task = await get_task(session, task_id)
    if task.confirmation != Confirmation.AWAITED.value or task.confirm_by is None or task.confirm_by > now:
        return
    reason = f"no proof of {task.confirm_kind} was accepted within {task.confirm_within} s"
    if TaskState(task.state) in CONFIRMING_TASK_STATES:
        await _miss(session, now, task_id, ended, reason=reason)
    else:  # its own end was told
        await move_confirmation(session, now, task_id, Confirmation.MISSED, reason=f"the task is {task.state}")


async def _miss(session: AsyncSession, now: int, task_id: str, ended: TaskEnded, *, reason: str) -> None:
    task = await move_confirmation(session, now, task_id, Confirmation.MISSED, reason=reason, code="W3B-3011")
    await ended(session, now, task)


async def is_leased(session: AsyncSession, task_id: str, *, but: str = "") -> bool:
    """Whether the task has a leased attempt, those of the kind `but` aside."""
    found = await session.exec(
        select(AttemptRow.id)
        .where(col(AttemptRow.task_id) == task_id, col(AttemptRow.state).in_(LEASED), col(AttemptRow.kind) != but)
        .limit(1)
    )
    return found.first() is not None


async def unneeded(session: AsyncSession, task: TaskRow) -> Sequence[tuple[int, int]]:
    """(id, fence) of the verified proofs that an ended task does not send: all of them, but for the one that shows
    another output than that of a result which is at the Router already, or on its way there. The Router must see it."""
    rows = await session.exec(
        select(AttemptRow.id, AttemptRow.fence, AttemptRow.kind, AttemptRow.output).where(
            col(AttemptRow.task_id) == task.id, AttemptRow.state == AttemptState.PROVED.value
        )
    )
    posted = await session.exec(
        select(AttemptRow.id)
        .where(
            col(AttemptRow.task_id) == task.id,
            col(AttemptRow.state).in_(_POSTED),
            col(AttemptRow.kind) != task.confirm_kind,
        )
        .limit(1)
    )
    is_posted = posted.first() is not None
    return [
        (attempt_id or 0, fence)
        for attempt_id, fence, kind, output in rows.all()
        if not (is_posted and kind == task.confirm_kind and output != task.output)
    ]
