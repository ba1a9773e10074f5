"""Registration of session keys: what a TEE prover's proofs wait for, and what becomes of them where it is refused.

A key is registered once, by a transaction of its own; the proofs that it signed are sent after that is mined. Where its
evidence is verified against collateral that the chain lacks, a transaction before it brings that. A key that is refused
takes its proofs with it, those that came before and those that come later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from coordinator.ledger.outbox_tables import OutboxTxRow, SessionKeyRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import AttemptState
from coordinator.settlement import outbox, settled
from verifier.errors import InvalidInput, Refused, Unavailable, W3bstreamError

logger = structlog.get_logger(__name__)
PURPOSE = "register_session_key"
COLLATERAL_PURPOSE = "store_collateral"


@dataclass(frozen=True)
class Registering:
    """The call that registers a key."""

    to: str
    """TeeVerifier, 0x hex."""
    data: bytes
    collateral: Collateral | None = None
    """What must be mined before."""


@dataclass(frozen=True)
class Collateral:
    """A call that brings collateral to a store (`coordinator.settlement.dcap_collateral`)."""

    to: str
    """The store, 0x hex."""
    data: bytes
    pck: str
    """keccak256 of the machine's PCK certificate, 0x hex."""
    tee: int
    """0 for SGX, 0x81 for TDX."""


class SessionKeyCalls(Protocol):
    """Knows the contract call that registers a session key."""

    async def call(self, document: Mapping[str, Any]) -> Registering:
        """The call for a registration (`SessionKeyRow.document`), with what it needs before it.

        Raises Unavailable where there is no mined contract yet, and is asked again; Refused or InvalidInput for a
        registration that can never be.
        """


@dataclass(frozen=True)
class Answer:
    """What is to be done about one key."""

    call: Registering | None = None
    error: W3bstreamError | None = None
    """Why it will never be registered."""


async def answers(ledger: Ledger, calls: SessionKeyCalls | None, limit: int) -> dict[str, Answer]:
    """The calls for keys without a registration, by the key's digest; computed outside of any transaction."""
    if calls is None:
        return {}
    async with ledger.reading() as session:
        rows = list((await session.exec(_unregistered().limit(limit))).all())
    found = {}
    for row in rows:
        try:
            found[row.digest] = Answer(await calls.call(row.document))
        except Unavailable as error:
            logger.info("a session key waits", digest=row.digest, kind=row.kind, why=str(error)[:300])
        except (Refused, InvalidInput) as error:
            found[row.digest] = Answer(error=error)
    return found


def _unregistered() -> SelectOfScalar[SessionKeyRow]:
    return (
        select(SessionKeyRow)
        .where(col(SessionKeyRow.register_tx).is_(None), SessionKeyRow.code == "")
        .order_by(col(SessionKeyRow.created_at), col(SessionKeyRow.digest))
    )


async def register(session: AsyncSession, now: int, found: Mapping[str, Answer]) -> None:
    """Enqueue the registrations, or write down why there will be none.

    While collateral is on its way to a store, other keys that lack some wait: most often it is theirs as well.
    """
    for digest, answer in found.items():
        row = await session.get_one(SessionKeyRow, digest, populate_existing=True)
        if row.register_tx is not None or row.code:
            continue
        if answer.error is not None:
            set_refused(row, answer.error)
        elif (call := answer.call) is not None:
            if call.collateral is not None and await _is_under_way(session, call.collateral):
                continue
            row.register_tx = await enqueue_tx(
                session,
                now,
                dedupe_key=f"{PURPOSE}:{call.to.lower()}:{digest}",
                purpose=PURPOSE,
                to=call.to,
                data=call.data,
                ref={"session_key": digest, "kind": row.kind, "address": row.address, "prover": row.prover_address},
                after_tx=await _bring(session, now, row, call.collateral),
            )
        session.add(row)


async def _is_under_way(session: AsyncSession, collateral: Collateral) -> bool:
    found = await session.exec(
        select(OutboxTxRow.id)
        .where(
            OutboxTxRow.purpose == COLLATERAL_PURPOSE,
            OutboxTxRow.to == collateral.to,
            col(OutboxTxRow.state).in_(outbox.UNSENT_STATES),
        )
        .limit(1)
    )
    return found.first() is not None


async def _bring(session: AsyncSession, now: int, key: SessionKeyRow, collateral: Collateral | None) -> int | None:
    """Enqueue the collateral before the registration; its outbox row's id."""
    if collateral is None:
        return None
    return await enqueue_tx(
        session,
        now,
        dedupe_key=f"{COLLATERAL_PURPOSE}:{collateral.to.lower()}:{key.digest}",
        purpose=COLLATERAL_PURPOSE,
        to=collateral.to,
        data=collateral.data,
        ref={"session_key": key.digest, "kind": key.kind, "pck": collateral.pck, "tee": collateral.tee},
    )


def set_refused(row: SessionKeyRow, error: W3bstreamError) -> None:
    """The key will never be registered."""
    row.code, row.reason = error.code, error.message[:500]
    logger.warning("session key refused", digest=row.digest, kind=row.kind, code=row.code, reason=row.reason)


async def refused(session: AsyncSession, row: OutboxTxRow, error: W3bstreamError) -> None:
    """The registering transaction will never be accepted."""
    key = await session.get_one(SessionKeyRow, row.ref["session_key"], populate_existing=True)
    set_refused(key, error)
    session.add(key)


async def orphans(session: AsyncSession, limit: int) -> Sequence[tuple[AttemptRow, SessionKeyRow]]:
    """Proofs, not sent yet, by keys that will never be registered."""
    found = await session.exec(
        select(AttemptRow, SessionKeyRow)
        .join(SessionKeyRow, col(SessionKeyRow.digest) == col(AttemptRow.session_key))
        .where(
            AttemptRow.state == AttemptState.PROVED.value,
            col(AttemptRow.settle_tx).is_(None),
            SessionKeyRow.code != "",
        )
        .order_by(col(AttemptRow.id))
        .limit(limit)
    )
    return found.all()


async def reject(session: AsyncSession, now: int, found: Sequence[tuple[AttemptRow, SessionKeyRow]]) -> None:
    """End those proofs; a task without another is OPEN again."""
    for attempt, key in found:
        why = f"its session key {key.address} will not be registered: {key.reason}"
        await settled.rejected(session, now, attempt, Refused(key.code, why, field="sessionKey"))


def settleable() -> Any:
    """The condition on an attempt that the key that signed its proof, if any, is registered by a mined transaction."""
    key, tx = aliased(SessionKeyRow), aliased(OutboxTxRow)
    registered = (
        select(key.digest)
        .join(tx, col(tx.id) == col(key.register_tx))
        .where(col(key.digest) == col(AttemptRow.session_key), col(tx.state).in_(outbox.DONE_STATES))
        .exists()
    )
    return or_(AttemptRow.session_key == "", registered)
