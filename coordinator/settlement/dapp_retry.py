"""Calling a settled task's dApp again after it refused the result; the effect is in `settled.dapp_retried`."""

from __future__ import annotations

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import get_task
from verifier import bindings
from verifier.bindings import Deployment
from verifier.errors import Conflict


async def enqueue_dapp_retry(session: AsyncSession, now: int, deployment: Deployment, task_id: str) -> int:
    """Put `Router.retryDapp` into the outbox; while one is under way its id is returned.

    Raises NotFound (W3B-3003), and Conflict (W3B-3001) when the task's dApp call has not failed.
    """
    task = await get_task(session, task_id)
    if task.dapp_ok is not False or task.public_output is None:
        raise Conflict("W3B-3001", f"the dApp call of task {task_id} has not failed", field="task_id")
    prefix = f"retry_dapp:{task_id}:"
    found = await session.exec(
        select(OutboxTxRow).where(col(OutboxTxRow.dedupe_key).startswith(prefix)).order_by(col(OutboxTxRow.id))
    )
    earlier = found.all()
    if earlier and earlier[-1].state in {"QUEUED", "SENT"}:
        assert earlier[-1].id is not None
        return earlier[-1].id
    return await enqueue_tx(
        session,
        now,
        dedupe_key=f"{prefix}{len(earlier) + 1}",
        purpose="retry_dapp",
        to=deployment.router,
        data=bindings.retry_dapp(bytes.fromhex(task_id.removeprefix("0x")), task.public_output),
        ref={"task_id": task_id},
    )
