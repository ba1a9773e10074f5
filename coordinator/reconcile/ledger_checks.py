"""Ledger ↔ itself: windows and their readings, proofs, settlements and webhook deliveries."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, exists, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookDeliveryRow, WebhookMessageRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, ReadingRow, StreamCursorRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.reconcile.report import Break, InvariantReport

_SETTLED = (TaskState.SETTLED.value, TaskState.FINAL.value)


async def check_ledger(ledger: Ledger, report: InvariantReport, project_id: int | None) -> None:
    """Compare one project, or all of them."""
    async with ledger.reading() as session:
        await _readings(session, report, project_id)
        await _windows(session, report, project_id)
        await _proofs(session, report, project_id)
        await _settlements(session, report, project_id)
        await _webhooks(session, report, project_id)


def _of(column: Any, project_id: int | None) -> list[Any]:
    return [] if project_id is None else [column == project_id]


async def _readings(session: AsyncSession, report: InvariantReport, project_id: int | None) -> None:
    """Each reading below the open window in exactly one task, each above it in none."""
    mine = _of(col(ReadingRow.project_id), project_id)
    report.checked["readings"] += int(
        (await session.exec(select(func.count()).select_from(ReadingRow).where(*mine))).one()
    )
    columns: list[Any] = [
        ReadingRow.project_id,
        ReadingRow.position,
        ReadingRow.task_id,
        TaskRow.window_start,
        TaskRow.window_end,
    ]
    query: Any = (
        select(*columns)
        .join(StreamCursorRow, col(StreamCursorRow.project_id) == col(ReadingRow.project_id))
        .outerjoin(TaskRow, col(TaskRow.id) == col(ReadingRow.task_id))
        .where(
            *mine,
            or_(
                (col(ReadingRow.position) < col(StreamCursorRow.window_start)) & col(TaskRow.id).is_(None),
                (col(ReadingRow.position) >= col(StreamCursorRow.window_start)) & col(ReadingRow.task_id).is_not(None),
                col(TaskRow.project_id) != col(ReadingRow.project_id),
                col(TaskRow.version) != col(ReadingRow.version),
                col(ReadingRow.position) < col(TaskRow.window_start),
                col(ReadingRow.position) >= col(TaskRow.window_end),
            ),
        )
    )
    for project, position, task, start, end in await session.exec(query):
        if task is None:
            message = "the reading's window is closed, but it is in no task"
        elif start is None:
            message = f"the reading is in task {task}, which is not there"
        else:
            message = f"the reading is in task {task}, whose window is {start} to {end - 1} or of another version"
        report.add(Break("W3B-5022", f"project {project} position {position}", message, project))


async def _windows(session: AsyncSession, report: InvariantReport, project_id: int | None) -> None:
    """No two windows of a project overlap, and each holds as many readings as its task says."""
    held: Any = (
        select(col(ReadingRow.task_id).label("task_id"), func.count().label("held"))
        .where(*_of(col(ReadingRow.project_id), project_id), col(ReadingRow.task_id).is_not(None))
        .group_by(col(ReadingRow.task_id))
        .subquery()
    )
    task = (TaskRow.id, TaskRow.project_id, TaskRow.window_start, TaskRow.window_end, TaskRow.count)
    columns: list[Any] = [*task, held.c.held]
    query: Any = (
        select(*columns)
        .outerjoin(held, held.c.task_id == col(TaskRow.id))
        .where(*_of(col(TaskRow.project_id), project_id))
        .order_by(col(TaskRow.project_id), col(TaskRow.window_start))
    )
    before, ends = 0, 0
    for task, project, start, end, count, found in await session.exec(query):
        report.checked["tasks"] += 1
        if project == before and start < ends:
            message = f"its window begins at {start}, and the one before ends at {ends - 1}"
            report.add(Break("W3B-5022", f"task {task}", message, project))
        if (found or 0) != count:
            report.add(Break("W3B-5022", f"task {task}", f"it counts {count} readings and has {found or 0}", project))
        before, ends = project, end


async def _proofs(session: AsyncSession, report: InvariantReport, project_id: int | None) -> None:
    """One accepted proof per required kind."""
    mine = _of(col(TaskRow.project_id), project_id)
    query: Any = (
        select(TaskRow.id, TaskRow.project_id, AttemptRow.kind, func.count())
        .join(AttemptRow, col(AttemptRow.task_id) == col(TaskRow.id))
        .where(*mine, AttemptRow.state == AttemptState.VERIFIED.value)
        .group_by(col(TaskRow.id), col(TaskRow.project_id), col(AttemptRow.kind))
        .having(func.count() > 1)
    )
    for task, project, kind, count in await session.exec(query):
        report.add(Break("W3B-5029", f"task {task}", f"{count} proofs of kind {kind} count as accepted", project))
    accepted = (
        select(func.count(func.distinct(AttemptRow.kind)))
        .where(
            col(AttemptRow.task_id) == col(TaskRow.id),
            AttemptRow.state == AttemptState.VERIFIED.value,
            col(AttemptRow.kind) != col(TaskRow.confirm_kind),
        )
        .scalar_subquery()
    )
    few: Any = select(TaskRow.id, TaskRow.project_id, TaskRow.threshold, accepted).where(
        *mine, col(TaskRow.state).in_(_SETTLED), accepted < col(TaskRow.threshold)
    )
    for task, project, threshold, count in await session.exec(few):
        message = f"it needed {threshold} kinds of proof, and {count} count as accepted"
        report.add(Break("W3B-5029", f"task {task}", message, project))


async def _settlements(session: AsyncSession, report: InvariantReport, project_id: int | None) -> None:
    """A settled task names its settlement, and no two tasks of an attempt the same."""
    mine = _of(col(TaskRow.project_id), project_id)
    bare = await session.exec(
        select(TaskRow.id, TaskRow.project_id, TaskRow.state).where(
            *mine,
            col(TaskRow.state).in_(_SETTLED),
            or_(TaskRow.transaction_hash == "", TaskRow.block_hash == "", TaskRow.output == ""),
        )
    )
    for task, project, state in bare:
        report.add(Break("W3B-5025", f"task {task}", f"it is {state} without transaction, block or output", project))
    sourceless = await session.exec(
        select(TaskRow.id, TaskRow.project_id).where(
            *mine, TaskRow.state == TaskState.FINAL.value, TaskRow.finality_source == ""
        )
    )
    for task, project in sourceless:
        report.add(Break("W3B-5025", f"task {task}", "it is FINAL on nobody's word", project))
    unmined = await session.exec(
        select(TaskRow.id, TaskRow.project_id, AttemptRow.id, OutboxTxRow.state)
        .join(AttemptRow, col(AttemptRow.task_id) == col(TaskRow.id))
        .outerjoin(OutboxTxRow, col(OutboxTxRow.id) == col(AttemptRow.settle_tx))
        .where(
            *mine,
            AttemptRow.state == AttemptState.VERIFIED.value,
            or_(col(OutboxTxRow.id).is_(None), col(OutboxTxRow.state).not_in(("MINED", "SAFE", "FINAL"))),
        )
    )
    for task, project, attempt, state in unmined:
        message = f"attempt {attempt} counts as accepted, and its transaction is {state or 'not there'}"
        report.add(Break("W3B-5028", f"task {task}", message, project))


async def _webhooks(session: AsyncSession, report: InvariantReport, project_id: int | None) -> None:
    """At least one 2xx per webhook-id."""
    mine = _of(col(WebhookMessageRow.project_id), project_id)
    counted = select(func.count()).select_from(WebhookMessageRow).where(*mine)
    report.checked["webhook messages"] += int((await session.exec(counted)).one())
    answered = exists().where(
        col(WebhookDeliveryRow.message_id) == col(WebhookMessageRow.id),
        col(WebhookDeliveryRow.status_code) >= 200,
        col(WebhookDeliveryRow.status_code) < 300,
    )
    found = await session.exec(
        select(WebhookMessageRow.id, WebhookMessageRow.project_id, WebhookMessageRow.state).where(
            *mine, col(WebhookMessageRow.state).in_(("DELIVERED", "DEAD")), ~answered
        )
    )
    for message_id, project, state in found:
        message = "it counts as delivered without a 2xx answer" if state == "DELIVERED" else "it was given up"
        report.add(Break("W3B-5030", f"webhook message {message_id}", message, project))
