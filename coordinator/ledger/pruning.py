"""What of the ledger may be forgotten once it is old, and nothing else.

Here stands every rule. Each one names rows that no invariant, no proof and no later decision reads: what evidence is
made of, what reconcile compares, what says that something was had before (readings, windows, tasks, attempts, proofs,
transactions, messages, idempotency keys, jobs), dead letters and the audit log are kept for ever. Newest rows of a
table that is followed by id are kept too, so that no id is ever given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, and_, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import SpentTokenRow
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookMessageRow
from coordinator.ledger.tables import ProverEventRow

BATCH = 500
"""Rows of one transaction."""
LEAST_AGE_SECONDS = 86_400
"""What is younger is never pruned."""
_MESSAGES: Table = WebhookMessageRow.__table__  # type: ignore[attr-defined]
_TRIES: Table = WebhookDeliveryRow.__table__  # type: ignore[attr-defined]
_PROVER_EVENTS: Table = ProverEventRow.__table__  # type: ignore[attr-defined]
_SPENT: Table = SpentTokenRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Rule:
    """Rows that may go, once older than a time."""

    what: str
    """As people read it."""
    table: Table
    condition: ColumnElement[bool]
    emptied: Mapping[str, Any] = field(default_factory=dict)
    """Columns that are emptied where the row itself stays; without any the row goes."""


def rules(before: int) -> tuple[Rule, ...]:
    """Every rule, for what was over before a time (milliseconds since the Unix epoch)."""
    delivered = and_(_MESSAGES.c.state == "DELIVERED", _MESSAGES.c.delivered_at < before)
    # A 2xx is what reconcile asks for of every message that is DELIVERED.
    failed = or_(_TRIES.c.status_code.is_(None), _TRIES.c.status_code < 200, _TRIES.c.status_code >= 300)
    done = select(_MESSAGES.c.id).where(_MESSAGES.c.id == _TRIES.c.message_id, delivered).exists()
    later = _PROVER_EVENTS.alias("later")
    followed = (
        select(later.c.id)
        .where(later.c.prover_id == _PROVER_EVENTS.c.prover_id, later.c.id > _PROVER_EVENTS.c.id, later.c.at < before)
        .exists()
    )
    return (
        Rule(
            "failed tries of delivered webhook messages",
            _TRIES,
            and_(_TRIES.c.at < before, failed, done, _TRIES.c.id < select(func.max(_TRIES.c.id)).scalar_subquery()),
        ),
        Rule(
            "bodies of delivered webhook messages",
            _MESSAGES,
            and_(delivered, func.length(_MESSAGES.c.body) > 0),
            {"body": b""},
        ),
        Rule("earlier statuses of provers", _PROVER_EVENTS, and_(_PROVER_EVENTS.c.at < before, followed)),
        Rule("used login challenges that ran out", _SPENT, _SPENT.c.expires_at < before),
    )


async def count(session: AsyncSession, before: int) -> dict[str, int]:
    """How many rows each rule holds of."""
    found, connection = {}, await session.connection()
    for rule in rules(before):
        rows = await connection.execute(select(func.count()).select_from(rule.table).where(rule.condition))
        found[rule.what] = int(rows.scalar_one())
    return found


async def prune_some(session: AsyncSession, rule: Rule, after: Any = None) -> tuple[int, Any]:
    """Prune the next rows of a rule, at most `BATCH`, in the caller's transaction.

    Parameters: `after` is the key that the last call ended at, None at first. Returns how many, and the key that this
    call ended at; fewer than `BATCH` are the last ones.
    """
    key = rule.table.c.id
    query = select(key).where(rule.condition).order_by(key).limit(BATCH)
    if after is not None:
        query = query.where(key > after)
    connection = await session.connection()
    keys = list((await connection.execute(query)).scalars())
    if keys:
        chosen = and_(key.in_(keys), rule.condition)
        if rule.emptied:
            await connection.execute(update(rule.table).where(chosen).values(**rule.emptied))
        else:
            await connection.execute(delete(rule.table).where(chosen))
    return len(keys), keys[-1] if keys else after
