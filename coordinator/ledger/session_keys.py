"""Session keys as proofs bring them, many at once (`bulk`'s kind of function, for the step that takes the proofs in)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, insert, select

from coordinator.ledger.bulk import chunks
from coordinator.ledger.outbox_tables import SessionKeyRow

SESSION_KEYS: Table = SessionKeyRow.__table__  # type: ignore[attr-defined]
_DIGESTS: BindParameter[Any] = bindparam("digests", expanding=True)
_KNOWN = select(SESSION_KEYS.c.digest).where(SESSION_KEYS.c.digest.in_(_DIGESTS))
_ADD = insert(SESSION_KEYS)


@dataclass(frozen=True)
class NewSessionKey:
    """A session key whose registration was admitted; the fields are those of `SessionKeyRow`."""

    digest: str
    kind: str
    program_id: str
    prover_address: str
    address: str
    expiry: int
    document: Mapping[str, Any]


def add_session_keys(connection: Connection, now: int, keys: Sequence[NewSessionKey]) -> None:
    """Record the keys that are not recorded yet. One room writes them: the dispatcher of the coordinator that leads."""
    wanted = {key.digest: key for key in keys}
    for some in chunks(list(wanted)):
        for row in connection.execute(_KNOWN, {"digests": some}).all():
            del wanted[row.digest]
    rows = [{**asdict(key), "created_at": now, "code": "", "reason": ""} for key in wanted.values()]
    if rows:
        connection.execute(_ADD, rows)
