"""The outbox's rows: who is next, which nonce, and the bookkeeping of each change of state.

All functions run in a transaction of the caller's; each change of state writes its step of the finality ladder
(`TxEventRow`) in that same transaction. States: QUEUED (not signed), SENT (signed and stored; the network may have it),
MINED, SAFE, FINAL, REFUSED.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import NonceRow, OutboxTxRow
from coordinator.ledger.outboxes import record_tx_step
from coordinator.settlement.chain import Fees, Receipt
from coordinator.settlement.signer import Signed
from coordinator.settlement.verdicts import LONGEST_WAIT_SECONDS
from verifier.errors import Conflict, W3bstreamError

logger = structlog.get_logger(__name__)
DONE_STATES = ("MINED", "SAFE", "FINAL")
"""States in which a transaction has had its effect."""
UNSENT_STATES = ("QUEUED", "SENT")
"""States in which it has not."""
WATCHED_STATES = ("MINED", "SAFE")
"""States from which a reorg takes a transaction back."""
ANY_CHAIN = 0
"""`chain_id` of rows from before the column: they are for the installation's only chain."""


async def require_own_chain(session: AsyncSession, chain_id: int) -> None:
    """Refuse to send when the ledger holds unsent transactions of another chain. Raises Conflict (W3B-5011)."""
    found = await session.exec(
        select(OutboxTxRow.chain_id, func.count())
        .where(
            col(OutboxTxRow.state).in_(UNSENT_STATES),
            col(OutboxTxRow.chain_id).not_in((ANY_CHAIN, chain_id)),
        )
        .group_by(col(OutboxTxRow.chain_id))
    )
    if others := found.all():
        held = ", ".join(f"{count} for chain {other}" for other, count in others)
        raise Conflict("W3B-5011", f"the ledger has transactions to send {held}; this is chain {chain_id}")


async def in_state(session: AsyncSession, *states: str, chain_id: int) -> list[OutboxTxRow]:
    """Rows of this chain in any of the states, in the order of their nonces."""
    found = await session.exec(
        select(OutboxTxRow)
        .where(col(OutboxTxRow.state).in_(states), col(OutboxTxRow.chain_id).in_((ANY_CHAIN, chain_id)))
        .order_by(col(OutboxTxRow.nonce), col(OutboxTxRow.id))
    )
    return list(found.all())


async def ready(
    session: AsyncSession, now: int, limit: int, *, chain_id: int
) -> list[tuple[OutboxTxRow, OutboxTxRow | None]]:
    """QUEUED rows that are due and do not wait for another, oldest first, each with the row that it came after."""
    before = aliased(OutboxTxRow)
    found = await session.exec(
        select(OutboxTxRow, before)
        .outerjoin(before, col(before.id) == col(OutboxTxRow.after_tx))
        .where(
            OutboxTxRow.state == "QUEUED",
            col(OutboxTxRow.chain_id).in_((ANY_CHAIN, chain_id)),
            # Further ahead than any wait: the clock was set back since.
            or_(col(OutboxTxRow.next_at) <= now, col(OutboxTxRow.next_at) > now + LONGEST_WAIT_SECONDS * 1000),
            or_(col(OutboxTxRow.after_tx).is_(None), col(before.state).in_((*DONE_STATES, "REFUSED"))),
        )
        .order_by(col(OutboxTxRow.id))
        .limit(limit)
    )
    return [(row, earlier) for row, earlier in found.all()]


async def locked(session: AsyncSession, row: OutboxTxRow, *states: str) -> OutboxTxRow | None:
    """The row as it stands, locked until the transaction ends; None when it has left the `states` meanwhile."""
    found = await session.get_one(OutboxTxRow, row.id, populate_existing=True, with_for_update=True)
    return found if found.state in states else None


async def _locked_nonce(session: AsyncSession, chain_id: int, sender: str) -> NonceRow:
    """The sender's nonce row, locked: whoever reserves next waits here until this transaction has ended."""
    key = (chain_id, sender)
    row = await session.get(NonceRow, key, populate_existing=True, with_for_update=True)
    if row is not None:
        return row
    try:
        async with session.begin_nested():
            session.add(NonceRow(chain_id=chain_id, sender=sender, next_nonce=0))
            await session.flush()
    except IntegrityError:  # another process made it at the same moment; its row is the one to lock
        logger.debug("nonce row was made meanwhile", sender=sender)
    return await session.get_one(NonceRow, key, populate_existing=True, with_for_update=True)


async def _held(session: AsyncSession, chain_id: int, sender: str, mined: int) -> set[int]:
    taken = await session.exec(
        select(OutboxTxRow.nonce).where(
            OutboxTxRow.sender == sender,
            col(OutboxTxRow.chain_id).in_((ANY_CHAIN, chain_id)),
            col(OutboxTxRow.nonce) >= mined,
            col(OutboxTxRow.state).in_(("SENT", *DONE_STATES)),
        )
    )
    return {nonce for nonce in taken.all() if nonce is not None}


async def reserve_nonce(session: AsyncSession, chain_id: int, sender: str, mined: int) -> int:
    """The nonce for the sender's next transaction; `mined` is how many the chain has mined.

    It is the lowest one from `mined` on that no row holds: a gap is filled before the sequence goes on, and nonces that
    somebody else used with our key are left behind. Two processes cannot get the same one: the sender's `NonceRow` is
    locked until the caller's transaction, which stores the row that holds the nonce, has ended. Call it before anything
    else is changed in that transaction.
    """
    row = await _locked_nonce(session, chain_id, sender)
    held = await _held(session, chain_id, sender, mined)
    nonce = mined
    while nonce in held:
        nonce += 1
    row.next_nonce = max(row.next_nonce, nonce + 1)
    session.add(row)
    return nonce


async def gap(session: AsyncSession, chain_id: int, sender: str, mined: int) -> int | None:
    """The next nonce that the chain asks for when no row holds it although rows hold later ones; else None.

    Those later ones can never be mined then: a reorg took back the transaction that had used the nonce.
    """
    held = await _held(session, chain_id, sender, mined)
    return mined if held and mined not in held else None


def set_signed(
    session: AsyncSession,
    row: OutboxTxRow,
    now: int,
    signed: Signed,
    *,
    chain_id: int,
    sender: str,
    nonce: int,
    gas: int,
    fees: Fees,
) -> None:
    """QUEUED or SENT → SENT. Earlier hashes under the same nonce stay known: any of them may be mined."""
    source = row.state
    hashes = list(row.ref.get("hashes", ())) if source == "SENT" else []
    if source == "SENT" and row.tx_hash:
        hashes.append(row.tx_hash)
    row.ref = {**row.ref, "hashes": hashes, "gas": gas, "max_fee": fees.max_fee, "tip": fees.tip}
    row.state, row.sender, row.nonce, row.chain_id = "SENT", sender, nonce, chain_id
    row.raw, row.tx_hash = signed.raw, signed.tx_hash
    row.tries += 1
    row.code = row.reason = ""
    row.updated_at = now
    target = "BUMPED" if source == "SENT" else "SENT"
    record_tx_step(session, now, row, source=source, target=target, reason=f"nonce {nonce}, {fees.max_fee} wei a gas")


def set_cancelled(
    session: AsyncSession, row: OutboxTxRow, now: int, signed: Signed, *, gas: int, fees: Fees, reason: str
) -> None:
    """SENT → SENT: from now on an empty transfer to ourselves is sent under the row's nonce.

    Its hash is not one of the row's. When it is mined the nonce has gone to a transaction that is not the row's, and
    the row is handled like any whose nonce somebody else used.
    """
    hashes = [*row.ref.get("hashes", ()), row.tx_hash] if row.tx_hash else list(row.ref.get("hashes", ()))
    cancels = [*row.ref.get("cancels", ()), signed.tx_hash]
    row.ref = {
        **row.ref,
        "hashes": hashes,
        "cancels": cancels,
        "gas": gas,
        "max_fee": fees.max_fee,
        "tip": fees.tip,
    }
    row.raw, row.tx_hash, row.reason, row.updated_at = signed.raw, "", reason[:500], now
    record_tx_step(session, now, row, source="SENT", target="CANCELLED", reason=f"{signed.tx_hash}: {reason}")


def is_cancelled(row: OutboxTxRow) -> bool:
    """Whether what is sent under the row's nonce is an empty transfer by now."""
    return bool(row.ref.get("cancels"))


def fees_of(row: OutboxTxRow) -> Fees:
    """The fees that the row was last signed with."""
    return Fees(row.ref["max_fee"], row.ref["tip"])


def hashes_of(row: OutboxTxRow) -> Sequence[str]:
    """Every hash that the row may be mined under, the newest first."""
    return [each for each in (row.tx_hash, *reversed(row.ref.get("hashes", ()))) if each]


def set_mined(session: AsyncSession, row: OutboxTxRow, now: int, receipt: Receipt) -> None:
    """SENT or QUEUED → MINED; after a reorg the row may still be mined under any of its other hashes."""
    source = row.state
    others = [each for each in hashes_of(row) if each != receipt.tx_hash]
    row.ref = {**row.ref, "hashes": others[::-1]}
    row.state, row.tx_hash = "MINED", receipt.tx_hash
    row.block_number, row.block_hash, row.gas_used = receipt.block_number, receipt.block_hash, receipt.gas_used
    row.code = row.reason = ""
    row.updated_at = now
    record_tx_step(session, now, row, source=source, target="MINED")


def set_done(session: AsyncSession, row: OutboxTxRow, now: int, number: int, block_hash: str) -> None:
    """→ MINED without a transaction of our own: the effect was there as of this block."""
    source = row.state
    row.state, row.tx_hash, row.nonce, row.raw = "MINED", "", None, None
    row.ref = {key: value for key, value in row.ref.items() if key not in ("hashes", "cancels")}
    row.block_number, row.block_hash, row.gas_used = number, block_hash, None
    row.code, row.reason = "", "the effect was on chain already"
    row.updated_at = now
    record_tx_step(session, now, row, source=source, target="MINED", reason=row.reason)


def set_adopted(session: AsyncSession, row: OutboxTxRow, now: int, receipt: Receipt) -> None:
    """→ MINED by somebody else's transaction, whose place in the ladder is the row's from now on."""
    source = row.state
    row.nonce, row.raw = None, None
    row.ref = {key: value for key, value in row.ref.items() if key not in ("hashes", "cancels")}
    row.state, row.tx_hash = "MINED", receipt.tx_hash
    row.block_number, row.block_hash, row.gas_used = receipt.block_number, receipt.block_hash, receipt.gas_used
    row.code, row.reason, row.updated_at = "", "another transaction had the effect", now
    record_tx_step(session, now, row, source=source, target="MINED", reason=row.reason)


def set_rung(session: AsyncSession, row: OutboxTxRow, now: int, target: str) -> None:
    """MINED → SAFE, MINED or SAFE → FINAL: up the ladder; what is final was safe before."""
    if target == "FINAL" and row.state == "MINED":
        record_tx_step(session, now, row, source="MINED", target="SAFE")
        row.state = "SAFE"
    source, row.state, row.updated_at = row.state, target, now
    record_tx_step(session, now, row, source=source, target=target)


def set_waiting(session: AsyncSession, row: OutboxTxRow, now: int, next_at: int, reason: str) -> None:
    """→ QUEUED without a nonce."""
    source = row.state
    row.state, row.nonce, row.raw, row.tx_hash = "QUEUED", None, None, ""
    row.block_number, row.block_hash = None, ""
    row.ref = {key: value for key, value in row.ref.items() if key not in ("hashes", "cancels")}
    row.next_at, row.reason, row.updated_at = next_at, reason[:500], now
    if source != "QUEUED":
        record_tx_step(session, now, row, source=source, target="QUEUED", reason=reason)


def set_dropped(session: AsyncSession, row: OutboxTxRow, now: int) -> None:
    """MINED or SAFE → SENT after a reorg, or QUEUED when the transaction was not ours to send again."""
    row.reorgs += 1
    record_tx_step(
        session,
        now,
        row,
        source=row.state,
        target="REORGED",
        reason=f"block {row.block_number} is no longer in the chain",
    )
    if row.raw is None:
        row.state = "SENT"  # for a moment: the ladder shows the way back as any other
        set_waiting(session, row, now, now, "a reorg took its block away")
        return
    row.state, row.block_number, row.block_hash, row.updated_at = "SENT", None, "", now


def set_refused(session: AsyncSession, row: OutboxTxRow, now: int, error: W3bstreamError) -> None:
    """→ REFUSED."""
    source = row.state
    row.state, row.code, row.reason, row.updated_at = "REFUSED", error.code, error.message[:500], now
    record_tx_step(session, now, row, source=source, target="REFUSED", reason=error.message, code=error.code)


async def has_open_batch(session: AsyncSession, before: int | None = None) -> bool:
    """Whether a batch is not mined yet; `before` looks at older rows than this id only."""
    query = select(func.count()).where(OutboxTxRow.purpose == "apply_batch", col(OutboxTxRow.state).in_(UNSENT_STATES))
    if before is not None:
        query = query.where(col(OutboxTxRow.id) < before)
    return (await session.exec(query)).one() > 0
