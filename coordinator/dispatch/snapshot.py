"""What the ledger says now, read once a round and handed to the policy as values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import AttemptRow, OutboxTxRow, ProjectRow, TaskRow
from coordinator.ledger.transitions import (
    LEASED_ATTEMPT_STATES,
    LIVE_ATTEMPT_STATES,
    TERMINAL_TASK_STATES,
    AttemptState,
    TaskState,
)
from coordinator.scheduling.values import OpenTask

QUEUE_DEPTH = 256
"""Tasks of one project version that a round looks at, earliest deadline first: enough to fill the provers, few enough
that ten thousand waiting tasks cost nothing."""

LIVE = sorted(LIVE_ATTEMPT_STATES)
LEASED = sorted(LEASED_ATTEMPT_STATES)
LOST = (AttemptState.LOST.value, AttemptState.REJECTED.value)
PROVEN = (AttemptState.PROVED.value, AttemptState.POSTED.value, AttemptState.VERIFIED.value)
ENDED = sorted(TERMINAL_TASK_STATES)


@dataclass(frozen=True)
class LeasedAttempt:
    """An attempt that keeps a prover Busy, with its task's state and its assignment's transaction."""

    id: int
    task_id: str
    project_id: int
    prover_id: str
    fence: int
    state: AttemptState
    lease_expires_at: int
    deadline_at: int
    stage: str
    progress: float
    task_state: TaskState
    assign_state: str
    """State of the outbox transaction that records the assignment; empty before there is one."""
    assign_code: str
    assign_reason: str


async def leased_attempts(session: AsyncSession) -> list[LeasedAttempt]:
    """Every attempt that is ASSIGNED or PROVING, oldest first."""
    rows = await session.exec(
        select(AttemptRow, TaskRow.project_id, TaskRow.state, OutboxTxRow)
        .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
        .outerjoin(OutboxTxRow, col(OutboxTxRow.id) == col(AttemptRow.assign_tx))
        .where(col(AttemptRow.state).in_(LEASED))
        .order_by(col(AttemptRow.id))
    )
    return [
        LeasedAttempt(
            id=attempt.id or 0,
            task_id=attempt.task_id,
            project_id=project_id,
            prover_id=attempt.prover_id,
            fence=attempt.fence,
            state=AttemptState(attempt.state),
            lease_expires_at=attempt.lease_expires_at,
            deadline_at=attempt.deadline_at,
            stage=attempt.stage,
            progress=attempt.progress,
            task_state=TaskState(task_state),
            assign_state=tx.state if tx else "",
            assign_code=tx.code if tx else "",
            assign_reason=tx.reason if tx else "",
        )
        for attempt, project_id, task_state, tx in rows
    ]


async def waiting_tasks(session: AsyncSession, now: int) -> tuple[list[OpenTask], dict[str, tuple[str, ...]]]:
    """OPEN tasks that are due and have fewer live attempts than they need, and who failed each, the latest last.

    A paused project's tasks wait: the chain would refuse their assignments. At most `QUEUE_DEPTH` of each project
    version, earliest deadline first: those of one version want the same kinds.
    """
    live = (
        select(func.count())
        .where(col(AttemptRow.task_id) == col(TaskRow.id), col(AttemptRow.state).in_(LIVE))
        .correlate(TaskRow)
        .scalar_subquery()
    )
    order = func.row_number().over(
        partition_by=(col(TaskRow.project_id), col(TaskRow.version)),
        order_by=(col(TaskRow.deadline_at), col(TaskRow.id)),
    )
    ranked = (
        select(col(TaskRow.id).label("id"), order.label("place"))
        .join(ProjectRow, col(ProjectRow.id) == col(TaskRow.project_id))
        .where(
            col(ProjectRow.state) == "ACTIVE",
            col(TaskRow.state) == TaskState.OPEN.value,
            col(TaskRow.next_attempt_at) <= now,
            col(TaskRow.deadline_at) > now,
            live < col(TaskRow.threshold),
        )
        .subquery()
    )
    tasks = (
        await session.exec(
            select(TaskRow).join(ranked, ranked.c.id == col(TaskRow.id)).where(ranked.c.place <= QUEUE_DEPTH)
        )
    ).all()
    live_kinds, failed_by = await _past_attempts(session, tasks)
    return [
        OpenTask(
            id=task.id,
            project_id=task.project_id,
            kinds=tuple(task.kinds),
            threshold=task.threshold,
            deadline_at=task.deadline_at,
            next_attempt_at=task.next_attempt_at,
            attempts_used=max(task.attempts_used, len(failed_by.get(task.id, ()))),
            live_kinds=frozenset(live_kinds.get(task.id, ())),
        )
        for task in tasks
    ], failed_by


async def _past_attempts(
    session: AsyncSession, tasks: Sequence[TaskRow]
) -> tuple[dict[str, set[str]], dict[str, tuple[str, ...]]]:
    """Live kinds and failed provers of the tasks."""
    live: dict[str, set[str]] = defaultdict(set)
    failed: dict[str, list[str]] = defaultdict(list)
    ids = [task.id for task in tasks]
    for at in range(0, len(ids), 500):
        rows = await session.exec(
            select(AttemptRow.task_id, AttemptRow.kind, AttemptRow.prover_id, AttemptRow.state)
            .where(col(AttemptRow.task_id).in_(ids[at : at + 500]))
            .order_by(col(AttemptRow.id))
        )
        for task_id, kind, prover_id, state in rows:
            if state in LIVE:
                live[task_id].add(kind)
            elif state in LOST:
                failed[task_id].append(prover_id)
    return live, {task_id: tuple(provers) for task_id, provers in failed.items()}


async def overdue_tasks(session: AsyncSession, now: int) -> list[str]:
    """Tasks whose deadline passed before their assurance was reached."""
    states = (TaskState.RECEIVED.value, TaskState.OPEN.value)
    rows = await session.exec(select(TaskRow.id).where(col(TaskRow.state).in_(states), col(TaskRow.deadline_at) <= now))
    return list(rows)


async def proven_open_tasks(session: AsyncSession) -> list[str]:
    """OPEN tasks with a proof that no settlement has taken up: their assurance may be reached."""
    rows = await session.exec(
        select(TaskRow.id)
        .join(AttemptRow, col(AttemptRow.task_id) == col(TaskRow.id))
        .where(
            col(AttemptRow.state).in_((AttemptState.PROVED.value, AttemptState.POSTED.value)),
            col(TaskRow.state) == TaskState.OPEN.value,
        )
        .distinct()
    )
    return list(rows)


async def proofs_of_ended_tasks(session: AsyncSession) -> list[tuple[int, int, str]]:
    """(attempt id, fence, task state) of verified proofs that were not sent before their task ended."""
    rows = await session.exec(
        select(AttemptRow.id, AttemptRow.fence, TaskRow.state)
        .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
        .where(col(AttemptRow.state) == AttemptState.PROVED.value, col(TaskRow.state).in_(ENDED))
    )
    return [(attempt_id or 0, fence, state) for attempt_id, fence, state in rows]


async def miscounted_tasks(session: AsyncSession) -> list[str]:
    """OPEN tasks with more lost attempts than they count: the settlement rejected a proof, say."""
    lost = func.count(col(AttemptRow.id))
    rows = await session.exec(
        select(TaskRow.id)
        .join(AttemptRow, col(AttemptRow.task_id) == col(TaskRow.id))
        .where(col(TaskRow.state) == TaskState.OPEN.value, col(AttemptRow.state).in_(LOST))
        .group_by(col(TaskRow.id), col(TaskRow.attempts_used))
        .having(lost > col(TaskRow.attempts_used))
    )
    return list(rows)
