"""What a transaction's fate means for the ledger, applied in the transaction that moves its outbox row.

| fate | meaning |
|---|---|
| sent | signed and stored; from now on the network may have it |
| mined | a receipt with status 1 in the canonical chain |
| done | somebody else's transaction, or an earlier one, had the effect already |
| refused | simulation or receipt refused it for good |
| waiting | it must be signed anew: its nonce went to another transaction, or the refusal passes |
| dropped | a reorg took its block away |
| final | its block is final |

Every function looks at the present state first: a task may have been cancelled, a lease may have run out meanwhile.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import move_attempt, move_task
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.settlement import key_registrations, settled
from coordinator.settlement.batches import BatchItem, release
from coordinator.settlement.chain import Receipt
from verifier.bindings import Revert
from verifier.errors import W3bstreamError
from verifier.finality_proof import FinalityProof


class TaskEvent(Protocol):
    """What tells of a task, in the transaction that made it FINAL, FAILED or FROZEN, or moved its confirmation."""

    async def __call__(
        self, session: AsyncSession, now: int, task: TaskRow, proof: FinalityProof | None = None, /
    ) -> None:
        """`proof` shows that the task's settlement is final."""


class Effects:
    """The effects on one ledger.

    Parameters: `router` is the Router's address; `finality_source` is what a FINAL task says about its finality
    (`finality.Finality.source`); `tell` enqueues webhooks.
    """

    def __init__(self, *, router: str, finality_source: str, tell: TaskEvent) -> None:
        self._router = router.lower()
        self._finality_source = finality_source
        self._tell = tell

    async def unwanted(self, session: AsyncSession, row: OutboxTxRow) -> str:
        """Why the transaction need not be sent any more; empty when it is wanted.

        A proof is wanted while its attempt is live under the fencing token with which it was enqueued.
        """
        if row.purpose == "fill_nonce":
            return "" if row.nonce is not None else "the gap in the nonces is filled"
        if row.purpose != "settle":
            return ""
        attempt = await session.get_one(AttemptRow, row.ref["attempt_id"], populate_existing=True)
        if row.fence is not None and row.fence != attempt.fence:
            return f"attempt {attempt.id} has fence {attempt.fence}, not {row.fence}"
        wanted = {AttemptState.PROVED.value, AttemptState.POSTED.value}
        return "" if attempt.state in wanted else f"attempt {attempt.id} is {attempt.state}"

    async def sent(self, session: AsyncSession, now: int, row: OutboxTxRow) -> None:
        """The transaction was signed and stored."""
        if row.purpose == "settle":
            await settled.posted(session, now, row)

    async def mined(self, session: AsyncSession, now: int, row: OutboxTxRow, receipt: Receipt | None) -> None:
        """The transaction had its effect; `receipt` is the one that had it, None where none is needed to know."""
        match row.purpose:
            case "apply_batch":
                await self._move_tasks(session, now, row, TaskState.RECEIVED, TaskState.OPEN)
            case "settle" if receipt is not None:
                before = await settled.confirmation_of(session, row)
                task = await settled.mined(session, now, row, receipt, self._router)
                if task.state == TaskState.FROZEN.value or task.confirmation != before:
                    await self._tell(session, now, task)
            case "retry_dapp" if receipt is not None:
                await settled.dapp_retried(session, row, receipt, self._router)
            case "publish_version":
                await _set_version(session, row, "PUBLISHED")

    async def refused(self, session: AsyncSession, now: int, row: OutboxTxRow, error: W3bstreamError) -> None:
        """The transaction will never be accepted."""
        if row.purpose == "settle":
            before = await settled.confirmation_of(session, row)
            task = await settled.refused(session, now, row, error)
            if task.state == TaskState.FROZEN.value or task.confirmation != before:
                await self._tell(session, now, task)
        elif row.purpose == "publish_version":
            await _set_version(session, row, "FAILED")
        elif row.purpose == key_registrations.PURPOSE:
            await key_registrations.refused(session, row, error)
        elif row.purpose == "apply_batch":
            await release(session, row)
            for task_id in row.ref["tasks"]:
                await settled.unrecorded(session, now, task_id)

    async def waiting(self, session: AsyncSession, now: int, row: OutboxTxRow) -> None:
        """The transaction goes back to the queue without a nonce."""
        if row.purpose == "settle":
            await settled.unposted(session, now, row)

    async def dropped(self, session: AsyncSession, now: int, row: OutboxTxRow) -> None:
        """A reorg took the transaction's block away."""
        match row.purpose:
            case "apply_batch":
                await self._move_tasks(session, now, row, TaskState.OPEN, TaskState.RECEIVED)
            case "settle":
                await settled.dropped(session, now, row)
            case "publish_version":
                await _set_version(session, row, "PENDING")

    async def final(
        self,
        session: AsyncSession,
        now: int,
        row: OutboxTxRow,
        *,
        frozen: bool = False,
        proof: FinalityProof | None = None,
    ) -> None:
        """The transaction's block is final.

        `frozen`: the Router has frozen the task that this transaction settled; `proof` shows that the settlement is
        final.
        """
        if row.purpose == "settle":
            task = await settled.final(session, now, row, self._finality_source, frozen=frozen)
            if task is not None:
                await self._tell(session, now, task, proof)

    async def _move_tasks(
        self, session: AsyncSession, now: int, row: OutboxTxRow, source: TaskState, target: TaskState
    ) -> None:
        for task_id in row.ref["tasks"]:
            task = await session.get_one(TaskRow, task_id, populate_existing=True)
            if task.state == source.value and task.record_tx == row.id:
                await move_task(session, now, task_id, target)

    async def bad_item(self, session: AsyncSession, now: int, item: BatchItem, revert: Revert) -> None:
        """One item of a refused batch is why; the others are collected anew without it.

        Called after `refused`. A task of a paused project stays RECEIVED.
        """
        reason = f"FleetManagement refused it: {revert}"
        if item.kind == "tasks" and revert.name != "ProjectInactive":
            task = await session.get_one(TaskRow, item.id, populate_existing=True)
            if task.state == TaskState.RECEIVED.value:
                task = await move_task(session, now, task.id, TaskState.FAILED, reason=reason, code="W3B-5002")
                await self._tell(session, now, task)
        elif item.kind == "assignments":
            attempt = await session.get_one(AttemptRow, item.id, populate_existing=True)
            if attempt.state == AttemptState.ASSIGNED.value:
                assert attempt.id is not None
                rejected = AttemptState.REJECTED
                await move_attempt(session, now, attempt.id, attempt.fence, rejected, reason=reason, code="W3B-5002")
        elif revert.name == "UnknownProver":  # a reorg or a restored ledger lost the registration
            await session.exec(
                update(ProverRow).where(func.lower(ProverRow.address) == item.id).values(register_tx=None)
            )


async def _set_version(session: AsyncSession, row: OutboxTxRow, state: str) -> None:
    """Set the version's state, and the project's newest published version to what follows from it."""
    project_id, number = row.ref["project_id"], row.ref["version"]
    version = await session.get_one(ProjectVersionRow, (project_id, number), populate_existing=True)
    version.state = state
    session.add(version)
    await session.flush()
    newest = await session.exec(
        select(func.max(ProjectVersionRow.version)).where(
            ProjectVersionRow.project_id == project_id, ProjectVersionRow.state == "PUBLISHED"
        )
    )
    await session.exec(update(ProjectRow).where(col(ProjectRow.id) == project_id).values(version=newest.one() or 0))
