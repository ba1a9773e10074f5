"""What the fate of a settle transaction means for its attempt and its task."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.confirmation import awaited, may_become, move_confirmation
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import get_task, move_attempt, move_task, record_event
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.ledger.transitions import TASK_TRANSITIONS, AttemptState, Confirmation, TaskState
from coordinator.settlement.chain import Receipt
from coordinator.settlement.outbox import DONE_STATES
from verifier.bindings import Event, decode_event, kind_hash
from verifier.errors import W3bstreamError

FROZEN = "W3B-5007"
FROZEN_THERE = "two different outputs are proven at the Router"
_LIVE_PROOFS = (AttemptState.PROVED.value, AttemptState.POSTED.value, AttemptState.VERIFIED.value)


async def _attempt(session: AsyncSession, row: OutboxTxRow) -> AttemptRow:
    return await session.get_one(AttemptRow, row.ref["attempt_id"], populate_existing=True)


async def _move(
    session: AsyncSession, now: int, attempt: AttemptRow, target: AttemptState, *, reason: str = "", code: str = ""
) -> None:
    assert attempt.id is not None
    await move_attempt(session, now, attempt.id, attempt.fence, target, reason=reason, code=code)


def events_about(receipt: Receipt, router: str, task_id: str) -> dict[str, Event]:
    """The Router's events about one task by name; a transaction may settle several tasks."""
    wanted = bytes.fromhex(task_id.removeprefix("0x"))
    found: dict[str, Event] = {}
    for log in receipt.logs:
        if log.address == router:
            event = decode_event(log.topics, log.data)
            if event is not None and event.args.get("taskId") == wanted:
                found[event.name] = event
    return found


async def confirmation_of(session: AsyncSession, row: OutboxTxRow) -> str:
    """Where the confirmation is of the task that a settle transaction is about."""
    return (await get_task(session, row.ref["task_id"])).confirmation


async def posted(session: AsyncSession, now: int, row: OutboxTxRow) -> None:
    """PROVED → POSTED."""
    attempt = await _attempt(session, row)
    if attempt.state == AttemptState.PROVED.value:
        await _move(session, now, attempt, AttemptState.POSTED)


async def unposted(session: AsyncSession, now: int, row: OutboxTxRow) -> None:
    """POSTED → PROVED."""
    attempt = await _attempt(session, row)
    if attempt.state == AttemptState.POSTED.value:
        await _move(session, now, attempt, AttemptState.PROVED)


async def mined(session: AsyncSession, now: int, row: OutboxTxRow, receipt: Receipt, router: str) -> TaskRow:
    """Bring attempt and task to what the receipt's events say; returns the task."""
    attempt = await _attempt(session, row)
    events = events_about(receipt, router, attempt.task_id)
    await _judge_attempt(session, now, attempt, events)
    if "TaskFrozen" in events:
        first, second = (f"0x{events['TaskFrozen'].args[name].hex()}" for name in ("first", "second"))
        reason = f"two different outputs proven on chain: {first}, then {second}"
        return await _freeze(session, now, attempt.task_id, reason, by=attempt.kind)
    task = await get_task(session, attempt.task_id)
    if "TaskSettled" in events:
        task = await _settle(session, now, events, receipt, attempt.task_id)
    if "ProofVerified" in events and task.confirm_kind:
        task = await _confirm(session, now, task, events["ProofVerified"], receipt)
    return task


async def _confirm(session: AsyncSession, now: int, task: TaskRow, event: Event, receipt: Receipt) -> TaskRow:
    """AWAITED or MISSED → CONFIRMED where the accepted proof, whoever made it, is of the confirming kind."""
    is_confirming = event.args["kind"] == kind_hash(task.confirm_kind)
    if not is_confirming or not may_become(task, Confirmation.CONFIRMED):
        return task
    reason = f"a proof of {task.confirm_kind} by {str(event.args['prover']).lower()} in {receipt.tx_hash}"
    if task.confirm_by is not None and now > task.confirm_by:
        reason += f", {(now - task.confirm_by) // 1000} s late"
    return await move_confirmation(session, now, task.id, Confirmation.CONFIRMED, reason=reason)


async def _judge_attempt(session: AsyncSession, now: int, attempt: AttemptRow, events: dict[str, Event]) -> None:
    """The proof was accepted as this attempt's, or as somebody else's, or it froze the task."""
    await session.refresh(attempt)
    if attempt.state == AttemptState.PROVED.value:  # found done before it was ever sent
        await _move(session, now, attempt, AttemptState.POSTED)
    if attempt.state != AttemptState.POSTED.value:
        return
    mine = [name for name in ("ProofVerified", "TaskFrozen") if name in events and _is_mine(attempt, events[name])]
    if "ProofVerified" in mine:
        await _move(session, now, attempt, AttemptState.VERIFIED)
        await _supersede_rivals(session, now, attempt)
    elif "TaskFrozen" in mine:
        reason = "the Router has another output proven for this task"
        await _move(session, now, attempt, AttemptState.REJECTED, reason=reason, code=FROZEN)
    else:
        reason = "another prover's proof of this kind was accepted"
        await _move(session, now, attempt, AttemptState.SUPERSEDED, reason=reason)


def _is_mine(attempt: AttemptRow, event: Event) -> bool:
    same_prover = str(event.args["prover"]).lower() == attempt.prover_address.lower()
    return same_prover and event.args["kind"] == kind_hash(attempt.kind)


async def _supersede_rivals(session: AsyncSession, now: int, winner: AttemptRow) -> None:
    """One accepted proof per kind: proofs of the same kind that were not sent are not needed."""
    rivals = await session.exec(
        select(AttemptRow).where(
            AttemptRow.task_id == winner.task_id,
            AttemptRow.kind == winner.kind,
            AttemptRow.id != winner.id,
            AttemptRow.state == AttemptState.PROVED.value,
        )
    )
    for rival in rivals.all():
        await _move(session, now, rival, AttemptState.SUPERSEDED)


async def _settle(session: AsyncSession, now: int, events: dict[str, Event], receipt: Receipt, task_id: str) -> TaskRow:
    """… → SETTLED. The Router's word counts, also where the ledger had the task one state behind."""
    event = events["TaskSettled"]
    dapp = True if "DappProcessed" in events else False if "DappFailed" in events else None
    task = await get_task(session, task_id)
    if task.state == TaskState.RECEIVED.value:
        task = await move_task(session, now, task_id, TaskState.OPEN)
    if task.state == TaskState.OPEN.value:
        task = await move_task(session, now, task_id, TaskState.SATISFIED, **awaited(task, now))
    if task.state != TaskState.SATISFIED.value:
        await record_event(
            session,
            now,
            task,
            subject="task",
            source=task.state,
            target=task.state,
            reason=f"the Router settled it in {receipt.tx_hash} after it had ended here",
        )
        return task
    return await move_task(
        session,
        now,
        task_id,
        TaskState.SETTLED,
        output="0x" + event.args["output"].hex(),
        public_output=event.args["publicOutput"],
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        transaction_hash=receipt.tx_hash,
        dapp_ok=dapp,
    )


async def _freeze(session: AsyncSession, now: int, task_id: str, reason: str = "", *, by: str = "") -> TaskRow:
    """… → FROZEN as far as the table has a way, and what the conflict says of the confirmation: `by` is the kind of the
    proof that brought it about."""
    task = await get_task(session, task_id)
    concerns = task.confirmation == Confirmation.CONFIRMED.value or (by != "" and by == task.confirm_kind)
    if concerns and may_become(task, Confirmation.CONTRADICTED):
        task = await move_confirmation(
            session, now, task_id, Confirmation.CONTRADICTED, reason=reason or FROZEN_THERE, code=FROZEN
        )
    if TaskState.FROZEN not in TASK_TRANSITIONS[TaskState(task.state)]:
        return task
    return await move_task(session, now, task_id, TaskState.FROZEN, reason=reason, code=FROZEN)


async def refused(session: AsyncSession, now: int, row: OutboxTxRow, error: W3bstreamError) -> TaskRow:
    """PROVED or POSTED → REJECTED; a task that no longer has a live proof of the kind is OPEN again, unless the kind only
    confirms it."""
    attempt = await _attempt(session, row)
    if row.ref.get("error") == "TaskIsFrozen":
        await _reject(session, now, attempt, error)
        return await _freeze(session, now, attempt.task_id, by=attempt.kind)
    return await rejected(session, now, attempt, error)


async def _reject(session: AsyncSession, now: int, attempt: AttemptRow, error: W3bstreamError) -> None:
    if attempt.state in (AttemptState.PROVED.value, AttemptState.POSTED.value):
        await _move(session, now, attempt, AttemptState.REJECTED, reason=error.message, code=error.code)


async def rejected(session: AsyncSession, now: int, attempt: AttemptRow, error: W3bstreamError) -> TaskRow:
    """The same for an attempt whose proof the chain will never accept, sent or not."""
    await _reject(session, now, attempt, error)
    task = await get_task(session, attempt.task_id)
    if attempt.kind == task.confirm_kind:
        return task
    if task.state == TaskState.SATISFIED.value and not await _has_live_proof(session, attempt):
        await move_task(session, now, task.id, TaskState.OPEN, code=error.code)
        return await unrecorded(session, now, task.id)
    return task


async def unrecorded(session: AsyncSession, now: int, task_id: str) -> TaskRow:
    """OPEN or SATISFIED → RECEIVED when the transaction that recorded the task is mined no more.

    A refused record is collected anew: nothing would ever be accepted for a task that FleetManagement does not know.
    One that is on its way again stays the task's record, and a SATISFIED task waits for it with its proofs.
    """
    task = await get_task(session, task_id)
    if task.state not in (TaskState.OPEN.value, TaskState.SATISFIED.value) or task.record_tx is None:
        return task
    record = await session.get_one(OutboxTxRow, task.record_tx)
    lost = record.state == "REFUSED"
    if record.state in DONE_STATES or (task.state == TaskState.SATISFIED.value and not lost):
        return task
    if task.state == TaskState.SATISFIED.value:
        await move_task(session, now, task_id, TaskState.OPEN, reason="its record on chain is gone")
    return await move_task(session, now, task_id, TaskState.RECEIVED, record_tx=None if lost else task.record_tx)


async def _has_live_proof(session: AsyncSession, attempt: AttemptRow) -> bool:
    found = await session.exec(
        select(AttemptRow.id).where(
            AttemptRow.task_id == attempt.task_id,
            AttemptRow.kind == attempt.kind,
            col(AttemptRow.state).in_(_LIVE_PROOFS),
        )
    )
    return found.first() is not None


async def dropped(session: AsyncSession, now: int, row: OutboxTxRow) -> None:
    """VERIFIED → POSTED, SETTLED → SATISFIED (RECEIVED without a record) when this transaction settled the task, and
    CONFIRMED → AWAITED when it confirmed it."""
    attempt = await _attempt(session, row)
    was_accepted = attempt.state == AttemptState.VERIFIED.value
    if was_accepted:
        await _move(session, now, attempt, AttemptState.POSTED)
    task = await get_task(session, attempt.task_id)
    if was_accepted and attempt.kind == task.confirm_kind and task.confirmation == Confirmation.CONFIRMED.value:
        task = await move_confirmation(session, now, task.id, Confirmation.AWAITED)
    if task.state == TaskState.SETTLED.value and task.transaction_hash == row.tx_hash:
        await move_task(
            session,
            now,
            task.id,
            TaskState.SATISFIED,
            block_number=None,
            block_hash="",
            transaction_hash="",
            dapp_ok=None,
        )
        await unrecorded(session, now, task.id)


async def settles(session: AsyncSession, row: OutboxTxRow) -> TaskRow | None:
    """The task that is SETTLED by this very transaction."""
    attempt = await _attempt(session, row)
    task = await get_task(session, attempt.task_id)
    if task.state != TaskState.SETTLED.value or task.transaction_hash != row.tx_hash:
        return None
    return task


async def final(
    session: AsyncSession, now: int, row: OutboxTxRow, finality_source: str, *, frozen: bool
) -> TaskRow | None:
    """SETTLED → FINAL, or FROZEN, when this transaction settled the task; returns the task when it moved."""
    task = await settles(session, row)
    if task is None:
        return None
    if frozen:
        return await _freeze(session, now, task.id)
    return await move_task(session, now, task.id, TaskState.FINAL, finality_source=finality_source)


async def dapp_retried(session: AsyncSession, row: OutboxTxRow, receipt: Receipt, router: str) -> None:
    """The dApp was called again; the task's state stays as it is."""
    events = events_about(receipt, router, row.ref["task_id"])
    if "DappProcessed" in events or "DappFailed" in events:
        await session.exec(
            update(TaskRow).where(col(TaskRow.id) == row.ref["task_id"]).values(dapp_ok="DappProcessed" in events)
        )
