"""Session keys as proofs bring them, many at once (`bulk`'s kind of function, for the step that takes the proofs in), and
those of a prover that were refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, insert, select

from coordinator.ledger.bulk import chunks
from coordinator.ledger.outbox_tables import SessionKeyRow
from provers.protocol import RefusedKey

SESSION_KEYS: Table = SessionKeyRow.__table__  # type: ignore[attr-defined]
_DIGESTS: BindParameter[Any] = bindparam("digests", expanding=True)
_KNOWN = select(SESSION_KEYS.c.digest).where(SESSION_KEYS.c.digest.in_(_DIGESTS))
_ADD = insert(SESSION_KEYS)
REFUSED_SHOWN = 8
"""A worker has one key at a time; the newest refusals tell it whether to make another."""
_REFUSED = (
    select(*(SESSION_KEYS.c[name] for name in ("address", "expiry", "code", "reason")))
    .where(
        SESSION_KEYS.c.code != "",
        SESSION_KEYS.c.program_id == bindparam("program_id"),
        SESSION_KEYS.c.prover_address == bindparam("prover_address"),
    )
    .order_by(SESSION_KEYS.c.created_at.desc(), SESSION_KEYS.c.digest)
    .limit(REFUSED_SHOWN)
)


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


def refused_keys(connection: Connection, program_id: str, prover_address: str) -> list[RefusedKey]:
    """The newest session keys that the chain will not register, newest first. Parameters: 0x and lower-case hex."""
    found = connection.execute(_REFUSED, {"program_id": program_id, "prover_address": prover_address})
    return [
        RefusedKey(bytes.fromhex(row.address[2:]), row.expiry, f"{row.code}: {row.reason}"[:300]) for row in found.all()
    ]
