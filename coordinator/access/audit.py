"""The audit log: every privileged act in a chain of hashes (docs/explanation/security.md).

`hash = SHA-256(canonical JSON of all other fields, previous_hash among them)`, as hex; the first row's previous_hash is
64 zeros. The column is unique, so two writers cannot fork the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import AuditRow
from verifier.errors import Refused

GENESIS = "0" * 64
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


def canonical(detail: dict[str, Any]) -> str:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def row_hash(fields: dict[str, Any]) -> str:
    """The hash of a row: of the fields at, actor, action, subject, project_id, outcome, peer, detail, previous_hash."""
    return hashlib.sha256(canonical(fields).encode()).hexdigest()


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


@dataclass(frozen=True)
class Entry:
    """A row of the log as it was read, here or over the API."""

    id: int
    fields: dict[str, Any]
    """What the hash is over."""
    hash: str


def entry(row: AuditRow) -> Entry:
    """The row as an entry."""
    assert row.id is not None
    return Entry(row.id, _fields(row), row.hash)


def verify(entries: Iterable[Entry], previous: str = GENESIS) -> tuple[int, str]:
    """Check a chain from its first entry on; returns (entries, the last hash).

    A chain that was cut off at its end is whole in itself: compare the last hash with one noted elsewhere. Raises
    Refused (W3B-7031) with the id at which it breaks.
    """
    count = 0
    for each in entries:
        if each.fields["previous_hash"] != previous:
            raise Refused("W3B-7031", f"entry {each.id} does not follow the one before it", field="previous_hash")
        if row_hash(each.fields) != each.hash:
            raise Refused("W3B-7031", f"entry {each.id} was changed: its hash is not {each.hash[:16]}…", field="hash")
        previous, count = each.hash, count + 1
    return count, previous
