"""Who runs the loops: a lease with a fencing token in the ledger, judged by the database's clock.

Of all coordinators on a ledger one leads. It holds the lease, renews it, and does everything through a ledger
(`Ledger.led_by`) that refuses its transactions once another took over, however long it slept in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Connection, cast, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import LeadershipRow
from verifier.errors import Conflict

if TYPE_CHECKING:
    from coordinator.ledger.store import Ledger

ROLE = "loops"
"""The one role: intake, dispatch, settlement and webhooks together."""

LONGEST_MS = 3_600_000
"""No lease of another coordinator is longer."""


@dataclass(frozen=True)
class Term:
    """One holder's time as leader."""

    holder: str
    """`CoordinatorRow.id`."""
    fence: int
    """Fencing token: one more with each term."""
    lost: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when a transaction was refused because the term is over."""

    async def require(self, session: AsyncSession, now: Any | None) -> None:
        """Raises Conflict (W3B-8010) when another took over, or the lease ran out by the database's time `now`.

        Runs in the transaction that it guards. Taking over is a write, and writers take turns: what holds here holds
        until the transaction has ended.
        """
        query = select(LeadershipRow.role).where(*self.mine())
        if now is not None:
            query = query.where(col(LeadershipRow.expires_at) > now)
        found = await session.exec(query)
        if found.first() is None:
            self.lost.set()
            raise Conflict("W3B-8010", f"coordinator {self.holder} does not lead any more (term {self.fence} is over)")

    def require_at_once(self, connection: Connection) -> None:
        """`require` without a time, over a plain connection."""
        if connection.execute(select(LeadershipRow.role).where(*self.mine())).first() is None:
            self.lost.set()
            raise Conflict("W3B-8010", f"coordinator {self.holder} does not lead any more (term {self.fence} is over)")

    def mine(self) -> tuple[Any, ...]:
        """The SQL condition that the ledger's row is this term's."""
        return (
            col(LeadershipRow.role) == ROLE,
            col(LeadershipRow.holder) == self.holder,
            col(LeadershipRow.fence) == self.fence,
        )


class Leadership:
    """One coordinator's way to lead.

    Parameters: `holder` is its id; `lease_ms` is how long it leads without renewing, by the database's clock;
    `start_leases` is how many leases long that is while it starts.
    """

    def __init__(self, ledger: Ledger, holder: str, lease_ms: int, start_leases: int = 1) -> None:
        self._ledger = ledger
        self._holder = holder
        self._lease_ms = lease_ms
        self._start_leases = start_leases

    async def take(self) -> Term | None:
        """A new term when nobody leads; None while another coordinator's lease runs.

        On a ledger that is not shared the caller holds its lock, so that whoever led before is gone: it is taken at
        once.
        """
        async with self._ledger.transaction() as session:
            now = await database_now(session, self._ledger)
            row = await session.get(LeadershipRow, ROLE, populate_existing=True)
            if row is None:
                row = LeadershipRow(role=ROLE, holder="", fence=0, expires_at=0, since=0)
            elif self._ledger.shared and self._runs(row, now):
                return None
            row.holder, row.fence, row.since = self._holder, row.fence + 1, now
            row.expires_at = now + self._lease_ms * self._start_leases
            session.add(row)
            return Term(self._holder, row.fence)

    async def free(self) -> bool:
        """Whether nobody leads, as far as a look without a lock can tell."""
        async with self._ledger.reading() as session:
            row = await session.get(LeadershipRow, ROLE)
            return row is None or not self._runs(row, await database_now(session, self._ledger))

    def _runs(self, row: LeadershipRow, now: int) -> bool:
        """Whether the lease runs. One that ends hours from now was written before the database's clock was set back: its
        holder, if it lives, has written it anew or does so with its next renewal, and is fenced off otherwise."""
        most = max(LONGEST_MS, self._lease_ms * self._start_leases)
        return now < row.expires_at <= now + most

    async def renew(self, term: Term, *, starting: bool = False) -> bool:
        """Lengthen the lease; False when another coordinator leads. One that ran out unnoticed goes on."""
        lease = self._lease_ms * (self._start_leases if starting else 1)
        async with self._ledger.transaction() as session:
            until = await database_now(session, self._ledger) + lease
            done = await session.exec(update(LeadershipRow).where(*term.mine()).values(expires_at=until))
            return bool(done.rowcount)

    async def give_back(self, term: Term) -> None:
        """End the term now, so that another coordinator need not wait for it to run out."""
        async with self._ledger.transaction() as session:
            await session.exec(update(LeadershipRow).where(*term.mine()).values(expires_at=0))


async def database_now(session: AsyncSession, ledger: Ledger) -> int:
    """The database's clock, milliseconds."""
    now: Any = ledger.now()
    return int((await session.exec(select(cast(now, BigInteger)))).one())
