"""How attempts begin and end in the ledger, and what their end means for the task. Each function is called in a
transaction."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch import confirming
from coordinator.dispatch.conclusions import stood_in
from coordinator.dispatch.confirming import TaskEnded, is_leased
from coordinator.dispatch.snapshot import LEASED, LOST, PROVEN, count_losses
from coordinator.dispatch.version_terms import assurance_form
from coordinator.ledger.confirmation import awaited, may_become, move_confirmation
from coordinator.ledger.store import get_task, move_attempt, move_task
from coordinator.ledger.tables import AttemptRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, AttemptState, Confirmation, TaskState
from coordinator.scheduling.retry import is_exhausted, next_delay_ms
from coordinator.scheduling.values import Limits
from verifier.assurance import Assurance, Judgement, Proven, Verdict, judge, restore_assurance


async def lose(
    session: AsyncSession,
    now: int,
    attempt_id: int,
    fence: int,
    target: AttemptState,
    *,
    limits: Limits,
    ended: TaskEnded,
    reason: str,
    code: str,
) -> None:
    """End an attempt as LOST or REJECTED and count it. Raises what `move_attempt` raises."""
    attempt = await move_attempt(session, now, attempt_id, fence, target, reason=reason, code=code)
    await recount(session, now, attempt.task_id, limits, ended)


async def recount(session: AsyncSession, now: int, task_id: str, limits: Limits, ended: TaskEnded) -> None:
    """Count an OPEN task's lost attempts, set the pause that follows, and end the task at the cap; and likewise those
    at the confirmation of a task that awaits it (`confirming.recount`), which never end the task.

    The count is taken from the attempts themselves, so that it is right whoever ended them and however often it is
    called. Attempts before the task was last put back do not count, nor those that the coordinator itself broke off,
    up to a bound (`scheduling.retry.counted_losses`). An attempt that is still under way is waited for.
    """
    task = await get_task(session, task_id)
    await confirming.recount(session, now, task, limits, ended)
    if task.state != TaskState.OPEN.value:
        return
    codes = await session.exec(
        select(AttemptRow.code).where(
            col(AttemptRow.task_id) == task_id,
            col(AttemptRow.state).in_(LOST),
            col(AttemptRow.fence) >= task.counted_from,
            col(AttemptRow.kind) != task.confirm_kind,
        )
    )
    lost = count_losses(codes.all(), limits)
    if lost > task.attempts_used:
        await session.exec(
            update(TaskRow)
            .where(col(TaskRow.id) == task_id)
            .values(attempts_used=lost, next_attempt_at=now + next_delay_ms(lost, task_id, limits), updated_at=now)
        )
    if is_exhausted(lost, limits) and not await is_leased(session, task_id, but=task.confirm_kind):
        reason = f"{lost} attempts failed, the cap is {limits.attempt_cap}"
        await end_task(session, now, task_id, TaskState.FAILED, ended, reason=reason, code="W3B-3005")


async def end_task(
    session: AsyncSession, now: int, task_id: str, target: TaskState, ended: TaskEnded, *, reason: str, code: str
) -> None:
    """Move a task to FAILED, EXPIRED or FROZEN, take the lease from its attempts, and tell `ended`."""
    task = await move_task(session, now, task_id, target, reason=reason, code=code)
    await supersede(session, now, task_id, "task ended")
    for attempt_id, fence in await confirming.unneeded(session, task):
        await move_attempt(session, now, attempt_id, fence, AttemptState.SUPERSEDED, reason="task ended")
    await ended(session, now, task)


async def supersede(session: AsyncSession, now: int, task_id: str, reason: str, *, but: str = "") -> None:
    """End the task's leased attempts as SUPERSEDED, all but those of the kind `but`."""
    rows = await session.exec(
        select(AttemptRow.id, AttemptRow.fence).where(
            col(AttemptRow.task_id) == task_id, col(AttemptRow.state).in_(LEASED), col(AttemptRow.kind) != but
        )
    )
    for attempt_id, fence in rows.all():
        assert attempt_id is not None
        await move_attempt(session, now, attempt_id, fence, AttemptState.SUPERSEDED, reason=reason)


async def policy_of(session: AsyncSession, task: TaskRow) -> Assurance:
    """Which proofs the task needs."""
    version = await session.get_one(ProjectVersionRow, (task.project_id, task.version))
    return restore_assurance(assurance_form(version.config), task.kinds, task.threshold)


async def assurance_of(session: AsyncSession, task: TaskRow) -> Judgement:
    """Judge the task's verified proofs."""
    rows = await session.exec(
        select(AttemptRow.kind, AttemptRow.output, AttemptRow.prover_address, ProverRow.operator)
        .outerjoin(ProverRow, col(ProverRow.id) == col(AttemptRow.prover_id))
        .where(col(AttemptRow.task_id) == task.id, col(AttemptRow.state).in_(PROVEN))
        .order_by(col(AttemptRow.proved_at), col(AttemptRow.id))
    )
    proofs = [Proven(kind, output, prover=prover, operator=named or "") for kind, output, prover, named in rows]
    return judge(await policy_of(session, task), proofs)


async def reach(session: AsyncSession, now: int, task_id: str, ended: TaskEnded) -> None:
    """Draw the consequence of the task's proofs: SATISFIED at the threshold, FROZEN when two outputs are proven; where
    the task is FINAL by then, its confirmation is CONTRADICTED."""
    task = await get_task(session, task_id)
    is_final = task.state == TaskState.FINAL.value
    if task.state == TaskState.RECEIVED.value or (TaskState(task.state) in TERMINAL_TASK_STATES and not is_final):
        return
    found = await assurance_of(session, task)
    if found.verdict is Verdict.CONFLICT:
        outputs = " and ".join(found.outputs)
        reason = f"proofs of {', '.join(sorted(found.kinds))} have different outputs: {outputs}"
        if may_become(task, Confirmation.CONTRADICTED):
            task = await move_confirmation(
                session, now, task_id, Confirmation.CONTRADICTED, reason=reason, code="W3B-3010"
            )
            if is_final:
                await ended(session, now, task)
        if not is_final:
            await end_task(session, now, task_id, TaskState.FROZEN, ended, reason=reason, code="W3B-3010")
    elif found.verdict is Verdict.SATISFIED and task.state == TaskState.OPEN.value:
        await move_task(
            session,
            now,
            task_id,
            TaskState.SATISFIED,
            reason=stood_in(await policy_of(session, task), found),
            output=found.output,
            public_output=await _public_output(session, task_id, found.output),
            **awaited(task, now),
        )
        await supersede(session, now, task_id, "another attempt won", but=task.confirm_kind)


async def _public_output(session: AsyncSession, task_id: str, output: str) -> bytes:
    rows = await session.exec(
        select(AttemptRow.public_output)
        .where(
            col(AttemptRow.task_id) == task_id,
            col(AttemptRow.output) == output,
            col(AttemptRow.state).in_(PROVEN),
        )
        .limit(1)
    )
    public_output = rows.one()
    assert public_output is not None, "a proven attempt keeps its public output"
    return public_output
