"""The outbox's rows: who is next, which nonce, and the bookkeeping of each change of state.

All functions run in a transaction of the caller's. States: QUEUED (not signed), SENT (signed and stored; the network
may have it), MINED, FINAL, REFUSED.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import NonceRow, OutboxTxRow
from coordinator.settlement.chain import Fees, Receipt
from coordinator.settlement.signer import Signed
from verifier.errors import W3bstreamError

DONE_STATES = ("MINED", "FINAL")
"""States in which a transaction has had its effect."""


async def in_state(session: AsyncSession, state: str) -> list[OutboxTxRow]:
    """Rows in a state, in the order of their nonces."""
    found = await session.exec(
        select(OutboxTxRow).where(OutboxTxRow.state == state).order_by(col(OutboxTxRow.nonce), col(OutboxTxRow.id))
    )
    return list(found.all())


async def ready(session: AsyncSession, now: int, limit: int) -> list[tuple[OutboxTxRow, OutboxTxRow | None]]:
    """QUEUED rows that are due and do not wait for another, oldest first, each with the row that it came after."""
    before = aliased(OutboxTxRow)
    found = await session.exec(
        select(OutboxTxRow, before)
        .outerjoin(before, col(before.id) == col(OutboxTxRow.after_tx))
        .where(
            OutboxTxRow.state == "QUEUED",
            col(OutboxTxRow.next_at) <= now,
            or_(col(OutboxTxRow.after_tx).is_(None), col(before.state).in_((*DONE_STATES, "REFUSED"))),
        )
        .order_by(col(OutboxTxRow.id))
        .limit(limit)
    )
    return [(row, earlier) for row, earlier in found.all()]


async def reserve_nonce(session: AsyncSession, chain_id: int, sender: str, mined: int) -> int:
    """The nonce for the sender's next transaction; `mined` is how many the chain has mined.

    It is the lowest one from `mined` on that no row holds: a gap is filled before the sequence goes on, and nonces that
    somebody else used with our key are left behind.
    """
    taken = await session.exec(
        select(OutboxTxRow.nonce).where(
            OutboxTxRow.sender == sender,
            col(OutboxTxRow.nonce) >= mined,
            col(OutboxTxRow.state).in_(("SENT", *DONE_STATES)),
        )
    )
    held = set(taken.all())
    nonce = mined
    while nonce in held:
        nonce += 1
    row = await session.get(NonceRow, (chain_id, sender))
    if row is None:
        row = NonceRow(chain_id=chain_id, sender=sender, next_nonce=0)
    row.next_nonce = max(row.next_nonce, nonce + 1)
    session.add(row)
    return nonce


def set_signed(row: OutboxTxRow, now: int, signed: Signed, *, sender: str, nonce: int, gas: int, fees: Fees) -> None:
    """QUEUED or SENT → SENT. Earlier hashes under the same nonce stay known: any of them may be mined."""
    hashes = list(row.ref.get("hashes", ())) if row.state == "SENT" else []
    if row.state == "SENT" and row.tx_hash:
        hashes.append(row.tx_hash)
    row.ref = {**row.ref, "hashes": hashes, "gas": gas, "max_fee": fees.max_fee, "tip": fees.tip}
    row.state, row.sender, row.nonce = "SENT", sender, nonce
    row.raw, row.tx_hash = signed.raw, signed.tx_hash
    row.tries += 1
    row.code = row.reason = ""
    row.updated_at = now


def fees_of(row: OutboxTxRow) -> Fees:
    """The fees that the row was last signed with."""
    return Fees(row.ref["max_fee"], row.ref["tip"])


def hashes_of(row: OutboxTxRow) -> Sequence[str]:
    """Every hash that the row may be mined under, the newest first."""
    return [row.tx_hash, *reversed(row.ref.get("hashes", ()))]


def set_mined(row: OutboxTxRow, now: int, receipt: Receipt) -> None:
    """SENT or QUEUED → MINED; after a reorg the row may still be mined under any of its other hashes."""
    others = [each for each in hashes_of(row) if each and each != receipt.tx_hash]
    row.ref = {**row.ref, "hashes": others[::-1]}
    row.state, row.tx_hash = "MINED", receipt.tx_hash
    row.block_number, row.block_hash, row.gas_used = receipt.block_number, receipt.block_hash, receipt.gas_used
    row.code = row.reason = ""
    row.updated_at = now


def set_done(row: OutboxTxRow, now: int, number: int, block_hash: str) -> None:
    """→ MINED without a transaction of our own: the effect was there as of this block."""
    row.state, row.tx_hash, row.nonce, row.raw = "MINED", "", None, None
    row.block_number, row.block_hash, row.gas_used = number, block_hash, None
    row.code, row.reason = "", "the effect was on chain already"
    row.updated_at = now


def set_waiting(row: OutboxTxRow, now: int, next_at: int, reason: str) -> None:
    """→ QUEUED without a nonce."""
    row.state, row.nonce, row.raw, row.tx_hash = "QUEUED", None, None, ""
    row.block_number, row.block_hash = None, ""
    row.ref = {key: value for key, value in row.ref.items() if key != "hashes"}
    row.next_at, row.reason, row.updated_at = next_at, reason[:500], now


def set_dropped(row: OutboxTxRow, now: int) -> None:
    """MINED → SENT after a reorg, or QUEUED when the transaction was not ours to send again."""
    if row.raw is None:
        set_waiting(row, now, now, "a reorg took its block away")
        return
    row.state, row.block_number, row.block_hash, row.updated_at = "SENT", None, "", now


def set_refused(row: OutboxTxRow, now: int, error: W3bstreamError) -> None:
    """→ REFUSED."""
    row.state, row.code, row.reason, row.updated_at = "REFUSED", error.code, error.message[:500], now


async def has_open_batch(session: AsyncSession, before: int | None = None) -> bool:
    """Whether a batch is not mined yet; `before` looks at older rows than this id only."""
    query = select(func.count()).where(
        OutboxTxRow.purpose == "apply_batch", col(OutboxTxRow.state).in_(("QUEUED", "SENT"))
    )
    if before is not None:
        query = query.where(col(OutboxTxRow.id) < before)
    return (await session.exec(query)).one() > 0
