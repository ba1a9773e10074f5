"""What verified proofs took, read off the ledger for quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState
from coordinator.scheduling.quote import Finished

_COLUMNS: tuple[Any, ...] = (
    func.coalesce(AttemptRow.started_at, AttemptRow.created_at),
    func.coalesce(AttemptRow.proved_at, AttemptRow.updated_at),
    AttemptRow.updated_at,
    TaskRow.created_at,
    OutboxTxRow.gas_used,
    TaskRow.record_tx,
    AttemptRow.assign_tx,
)


async def finished_proofs(session: AsyncSession, kind: str, program_id: str, limit: int) -> list[Finished]:
    """The newest verified proofs of a program whose settlement has its receipt, newest first.

    Parameters: `program_id` is 0x hex; any project's proofs count, for the program is the same.
    """
    rows = (
        await session.exec(
            select(*_COLUMNS)
            .select_from(AttemptRow)
            .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
            .join(OutboxTxRow, col(OutboxTxRow.id) == col(AttemptRow.settle_tx))
            .where(
                AttemptRow.kind == kind,
                AttemptRow.program_id == program_id,
                AttemptRow.state == AttemptState.VERIFIED.value,
                col(OutboxTxRow.gas_used).is_not(None),
            )
            .order_by(col(AttemptRow.id).desc())
            .limit(limit)
        )
    ).all()
    shares = await _shares(session, {tx for *_, record, assign in rows for tx in (record, assign) if tx is not None})
    return [
        Finished(
            proving_ms=max(0, proved_at - started_at),
            total_ms=max(0, verified_at - closed_at),
            gas=gas + shares.get(record, 0) + shares.get(assign, 0),
        )
        for started_at, proved_at, verified_at, closed_at, gas, record, assign in rows
    ]


async def _shares(session: AsyncSession, ids: Iterable[int]) -> dict[int, int]:
    """Gas of each batch for one of the tasks and assignments in it."""
    query: Any = select(OutboxTxRow.id, OutboxTxRow.gas_used, OutboxTxRow.ref).where(
        col(OutboxTxRow.id).in_(sorted(ids)), col(OutboxTxRow.gas_used).is_not(None)
    )
    return {
        tx: gas // max(1, len(ref.get("tasks", ())) + len(ref.get("assignments", ())))
        for tx, gas, ref in await session.exec(query)
    }


async def provers_there(session: AsyncSession, kinds: Sequence[str]) -> dict[str, int]:
    """Provers by kind that are not Offline."""
    rows = await session.exec(
        select(ProverRow.kind, func.count())
        .where(col(ProverRow.kind).in_(kinds), ProverRow.status != "OFFLINE")
        .group_by(col(ProverRow.kind))
    )
    return {kind: int(count) for kind, count in rows}
