"""The installation itself: coordinators, leadership, accounts, and the newest privileged acts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.explorer.access import Viewer
from coordinator.explorer.queries.provers import line as prover_line
from coordinator.explorer.queries.transactions import line as transaction_line
from coordinator.ledger.control_tables import AuditRow, CoordinatorRow, LeadershipRow
from coordinator.ledger.outbox_tables import NonceRow, OutboxTxRow
from coordinator.ledger.tables import DeviceRow, ProverRow

ACTS_SHOWN = 50
SHOWN = 50


async def coordinators(session: AsyncSession) -> list[dict[str, Any]]:
    """The coordinators that were heard of last."""
    rows = await session.exec(select(CoordinatorRow).order_by(col(CoordinatorRow.heartbeat_at).desc()).limit(20))
    return [row.model_dump() for row in rows]


async def leadership(session: AsyncSession) -> list[dict[str, Any]]:
    """Who runs which loops."""
    rows = await session.exec(select(LeadershipRow).order_by(col(LeadershipRow.role)).limit(20))
    return [row.model_dump() for row in rows]


async def outbox_counts(session: AsyncSession) -> dict[str, int]:
    """Transactions by step of the ladder."""
    rows = await session.exec(select(OutboxTxRow.state, func.count()).group_by(col(OutboxTxRow.state)))
    return {state: int(count) for state, count in rows}


async def acts(session: AsyncSession) -> list[dict[str, Any]]:
    """The newest privileged acts."""
    rows = await session.exec(select(AuditRow).order_by(col(AuditRow.id).desc()).limit(ACTS_SHOWN))
    return [row.model_dump(exclude={"previous_hash"}) for row in rows]


async def account(session: AsyncSession, viewer: Viewer, address: str, contracts: dict[str, str]) -> dict[str, Any]:
    """What an address is to this installation: a contract, a prover that is paid, a sender, a device."""
    found: dict[str, Any] = {
        "address": address,
        "contracts": [name for name, each in contracts.items() if each.lower() == address],
        "provers": [],
        "nonce": None,
        "transactions": [],
    }
    devices = await session.exec(
        select(DeviceRow)
        .where(DeviceRow.device == address, *viewer.only(col(DeviceRow.project_id)))
        .order_by(col(DeviceRow.project_id), col(DeviceRow.version).desc())
        .limit(SHOWN)
    )
    found["devices"] = [row.model_dump() for row in devices]
    if viewer.can("provers:read"):
        rows = await session.exec(select(ProverRow).where(func.lower(ProverRow.address) == address).limit(SHOWN))
        found["provers"] = [prover_line(row) for row in rows]
    if viewer.project_id is None:
        nonces = await session.exec(select(NonceRow).where(func.lower(NonceRow.sender) == address).limit(1))
        nonce = nonces.first()
        if nonce is not None:
            found["nonce"] = nonce.next_nonce
            sent = await session.exec(
                select(OutboxTxRow)
                .where(OutboxTxRow.sender == nonce.sender)
                .order_by(col(OutboxTxRow.id).desc())
                .limit(SHOWN)
            )
            found["transactions"] = [transaction_line(row) for row in sent]
    return found
