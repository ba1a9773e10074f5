"""The coordinators on a ledger: who has joined, who is alive, and whether they can work on the same things.

Times are the database's, in milliseconds: the coordinators' own clocks may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import CoordinatorRow, LeadershipRow
from coordinator.ledger.leadership import database_now
from coordinator.ledger.outbox_tables import DeploymentRow
from coordinator.ledger.store import Ledger
from verifier.errors import Conflict

ALIVE_LEASES = 3
"""A coordinator that was not heard of for so many leases is taken for dead."""
_REMEDY = "Set W3BSTREAM_NATS_URL and W3BSTREAM_CHAIN_RPC_URL to the same NATS and chain for each of them."


@dataclass(frozen=True)
class Standing:
    """Who leads, and who would follow."""

    leader: CoordinatorRow | None
    """None while nobody holds the lease."""
    since: int
    """When the leader's term began, milliseconds by the database's clock."""
    others: Sequence[CoordinatorRow]
    """Those alive that stand by, oldest first."""


async def join(ledger: Ledger, row: CoordinatorRow, lease_ms: int) -> None:
    """Enter a coordinator that has started; its times are set here.

    Raises Conflict (W3B-8011) when another home folder's coordinator is alive and one of the two has a part of its own
    that the other cannot use.
    """
    async with ledger.transaction() as session:
        now = await database_now(session, ledger)
        for other in await _alive(session, now, lease_ms):
            if other.home != row.home:
                _require_shared(row, other)
        row.started_at = row.heartbeat_at = now
        session.add(row)


def _require_shared(row: CoordinatorRow, other: CoordinatorRow) -> None:
    if row.embedded:
        message = f"{other.host} works on this ledger, and this coordinator would start its own {row.embedded}"
        raise Conflict("W3B-8011", message, field="ledger_url", next_step=_REMEDY)
    if other.embedded:
        message = f"{other.host} works on this ledger with its own {other.embedded}, which this one cannot use"
        raise Conflict("W3B-8011", message, field="ledger_url", next_step=_REMEDY)


async def beat(ledger: Ledger, identity: str, *, stopped: bool = False, **values: Any) -> None:
    """Say that a coordinator is alive, or that it ends; `values` are further columns of its row."""
    async with ledger.transaction() as session:
        now = await database_now(session, ledger)
        if stopped:
            values["stopped_at"] = now
        query = update(CoordinatorRow).where(col(CoordinatorRow.id) == identity)
        await session.exec(query.values(heartbeat_at=now, **values))


async def standing(ledger: Ledger, lease_ms: int) -> Standing:
    """Who leads and who stands by, as the ledger has it now."""
    async with ledger.reading() as session:
        now = await database_now(session, ledger)
        alive = await _alive(session, now, lease_ms)
        lead = (await session.exec(select(LeadershipRow))).first()
    if lead is None or (ledger.shared and lead.expires_at <= now):
        return Standing(None, 0, alive)
    leader = next((row for row in alive if row.id == lead.holder), None)
    return Standing(leader, lead.since, [row for row in alive if row.id != lead.holder])


async def _alive(session: AsyncSession, now: int, lease_ms: int) -> list[CoordinatorRow]:
    span = ALIVE_LEASES * lease_ms
    found = await session.exec(
        select(CoordinatorRow)
        .where(
            col(CoordinatorRow.stopped_at).is_(None),
            # One from the future was written before the clock was set back.
            col(CoordinatorRow.heartbeat_at).between(now - span, now + span),
        )
        .order_by(col(CoordinatorRow.started_at), col(CoordinatorRow.id))
    )
    return list(found.all())


async def deployed(ledger: Ledger) -> bool:
    """Whether the contracts are on a chain already."""
    async with ledger.reading() as session:
        return (await session.exec(select(DeploymentRow.chain_id))).first() is not None


async def require_account(ledger: Ledger, chain_id: int, account: str) -> None:
    """Require that this coordinator signs with the ledger's account on the chain; the first one's is written down.

    Raises Conflict (W3B-8012) when it is another: its transactions would be refused, and its nonces be nobody's.
    """
    async with ledger.transaction() as session:
        rows = await session.exec(select(DeploymentRow).where(DeploymentRow.chain_id == chain_id))
        for row in rows:
            if not row.account:
                row.account = account.lower()
                session.add(row)
            elif row.account != account.lower():
                message = f"the ledger's contracts belong to {row.account}, this coordinator signs as {account.lower()}"
                raise Conflict("W3B-8012", message, field="home")
