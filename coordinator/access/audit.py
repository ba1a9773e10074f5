"""The audit log: every privileged act, in a chain of hashes (`audit_chain.py`).

The column `previous_hash` is unique, so two writers cannot fork the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.access.audit_chain import GENESIS, Entry, row_hash
from coordinator.ledger.control_tables import AuditRow

OK = "ok"
OPERATOR = "operator"
"""The command line on the machine itself."""
MAX_TEXT = 300


@dataclass
class Act:
    """A privileged act under way."""

    action: str
    """Such as `api_key.create`."""
    actor: str
    """API key id, DID or `operator`; empty for a stranger."""
    peer: str = ""
    subject: str = ""
    project_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    """JSON values, never a secret."""
    recorded: bool = False
    """A row of it is committed."""


def _fields(row: AuditRow) -> dict[str, Any]:
    return row.model_dump(exclude={"id", "hash"})


async def append(session: AsyncSession, now: int, act: Act, outcome: str = OK) -> AuditRow:
    """Add the act to the chain, in the caller's transaction."""
    # Writers of the ledger take turns on every database, so no other row comes in between.
    last = (await session.exec(select(AuditRow.hash).order_by(col(AuditRow.id).desc()).limit(1))).first()
    fields: dict[str, Any] = {
        "at": now,
        "actor": act.actor,
        "action": act.action,
        "subject": act.subject[:MAX_TEXT],
        "project_id": act.project_id,
        "outcome": outcome,
        "peer": act.peer[:MAX_TEXT],
        "detail": act.detail,
        "previous_hash": last or GENESIS,
    }
    row = AuditRow(**fields, hash=row_hash(fields))
    session.add(row)
    await session.flush()
    return row


def entry(row: AuditRow) -> Entry:
    """The row as an entry."""
    assert row.id is not None
    return Entry(row.id, _fields(row), row.hash)
