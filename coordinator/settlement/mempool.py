"""Sent transactions: receipts, sending again, higher fees, and nonces that would block all later ones.

Rules:
1. No answer, a time-out or a refusal by the mempool says nothing: only a receipt, or a final block whose account nonce
   has passed ours, decides.
2. A replacement has the same nonce and at least `bump_percent` higher fees; every hash that was ever signed under the
   nonce stays known, for any of them may be mined.
3. A nonce never blocks the later ones for ever. Bytes that lost their mempool go out again; bytes whose gas does not
   suffice any more are signed with more; bytes that nobody wants any more are replaced by an empty transfer to
   ourselves; a nonce that no row holds (a reorg took back the transaction that had used it) is filled with one.
4. A transaction that had no effect, and a freeze, are believed when most servers say so (`many_chains.agreed`): what
   follows from them is not taken back.
"""

from __future__ import annotations

import secrets
import time

import structlog

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import record_tx_step
from coordinator.settlement import outbox
from coordinator.settlement.chain import Block, Disagreement, Receipt
from coordinator.settlement.sending import Sending
from verifier.bindings import event_topic

logger = structlog.get_logger(__name__)
_TRANSFER_GAS = 50_000
"""Limit of an empty transfer; it costs 21,000 on most chains, and what is left comes back."""


class Mempool:
    """Follows sent rows of one sender."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._gap: tuple[int, float] | None = None

    async def follow(self, head: Block, *, new_head: bool) -> list[tuple[OutboxTxRow, Receipt]]:
        """Ask for receipts and push what has none; the rows that were mined, with their receipts."""
        async with self._sending.ledger.reading() as session:
            rows = await outbox.in_state(session, "SENT", chain_id=self._sending.chain_id)
        mined: list[tuple[OutboxTxRow, Receipt]] = []
        oldest = True
        for row in rows:
            try:
                # Receipts come with blocks: without a new one only a row that was never asked about is news.
                news = new_head or row.id not in self._sending.sent_at or self._is_due(row)
                receipt = await self._receipt(row) if news else None
                if receipt is not None:
                    mined.append((row, receipt))
                    continue
                await self._push(row, head, oldest=oldest)
            except Disagreement as error:
                self._sending.troubles.append(error)
            oldest = False
        return mined

    def _is_due(self, row: OutboxTxRow) -> bool:
        sent = self._sending.sent_at.get(row.id or 0)
        return sent is None or time.monotonic() - sent >= self._sending.limits.resend_seconds

    async def _receipt(self, row: OutboxTxRow) -> Receipt | None:
        for tx_hash in outbox.hashes_of(row):
            receipt = await self._sending.chain.receipt(tx_hash)
            if receipt is not None and not _can_be_taken_back(receipt):
                receipt = await self._sending.agreed.receipt(tx_hash)
            if receipt is not None:
                return receipt
        return None

    async def _push(self, row: OutboxTxRow, head: Block, *, oldest: bool) -> None:
        """Send again; with higher fees when it is the one that all others wait for and has waited long."""
        if not self._is_due(row):
            return
        sending = self._sending
        assert row.nonce is not None
        mined = await sending.chain.nonce(sending.signer.address)
        if mined > row.nonce and await self._nonce_is_gone(row, head):
            what = "an empty transfer" if outbox.is_cancelled(row) else "another transaction of this account"
            await sending.wait(row, 0.0, f"nonce {row.nonce} went to {what}")
            return
        if oldest and mined < row.nonce:
            await self._fill_gap(mined)
        # A clock that was set back makes it negative; fees that rise too early are better than hours too late.
        waited = abs(sending.ledger.clock() - row.updated_at) / 1000
        if oldest and waited >= sending.limits.bump_seconds:
            row = await self.replace(row)
        if row.state == "SENT":
            await sending.send(row)

    async def _nonce_is_gone(self, row: OutboxTxRow, head: Block) -> bool:
        """Whether a final block has used the nonce although none of our hashes has a receipt."""
        sending = self._sending
        final = await sending.finality.number(sending.agreed, await sending.surest(head))
        if final < 0 or await sending.agreed.nonce(sending.signer.address, final) <= (row.nonce or 0):
            return False
        # Asked in this order the receipt cannot have come between the two questions.
        for tx_hash in outbox.hashes_of(row):
            if await sending.agreed.receipt(tx_hash) is not None:
                return False
        return True

    async def replace(self, row: OutboxTxRow) -> OutboxTxRow:
        """Sign anew under the same nonce with higher fees: the same call, or an empty transfer when it is not wanted."""
        sending = self._sending
        fees = outbox.fees_of(row).bumped(sending.limits.bump_percent).at_least(await sending.chain.fees())
        gas = max(int(row.ref["gas"]), await sending.gas(row) or 0)
        async with sending.ledger.transaction() as session:
            found = await outbox.locked(session, row, "SENT")
            if found is None or found.nonce is None:
                return row
            unwanted = await sending.effects.unwanted(session, found)
            if unwanted or outbox.is_cancelled(found):
                signed = sending.signer.sign(
                    chain_id=sending.chain_id,
                    nonce=found.nonce,
                    to=sending.signer.address,
                    data=b"",
                    gas=_TRANSFER_GAS,
                    fees=fees,
                )
                reason = f"not wanted any more: {unwanted}"
                outbox.set_cancelled(
                    session, found, sending.ledger.clock(), signed, gas=_TRANSFER_GAS, fees=fees, reason=reason
                )
                session.add(found)
            else:
                sending.sign(session, found, nonce=found.nonce, gas=gas, fees=fees)
        sending.forget(row)  # other bytes: sending them is no resend
        logger.info("fees raised", tx=found.id, nonce=found.nonce, max_fee=fees.max_fee, cancelled=bool(unwanted))
        return found

    async def _fill_gap(self, mined: int) -> None:
        """Fill nonce `mined` when no row holds it although later ones wait; not at once: a queued row may take it."""
        sending = self._sending
        async with sending.ledger.reading() as session:
            missing = await outbox.gap(session, sending.chain_id, sending.signer.address, mined)
        now = time.monotonic()
        if missing is None or self._gap is None or self._gap[0] != missing:
            self._gap = None if missing is None else (missing, now)
            return
        if now - self._gap[1] < sending.limits.gap_seconds:
            return
        self._gap = None
        row = await self._filling(missing)
        if row is not None:
            logger.warning("nonce filled", tx=row.id, nonce=missing)
            await sending.send(row)

    async def _filling(self, missing: int) -> OutboxTxRow | None:
        """A stored empty transfer under the nonce, unless a row has taken it meanwhile."""
        sending = self._sending
        fees, sender = await sending.chain.fees(), sending.signer.address
        async with sending.ledger.transaction() as session:
            if await outbox.reserve_nonce(session, sending.chain_id, sender, missing) != missing:
                return None
            now = sending.ledger.clock()
            row = OutboxTxRow(
                dedupe_key=f"fill_nonce:{missing}:{secrets.token_hex(8)}",
                chain_id=sending.chain_id,
                purpose="fill_nonce",
                to=sender,
                data=b"",
                ref={"nonce": missing},
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            await session.flush()
            record_tx_step(session, now, row, source="", target="QUEUED", reason="later nonces wait for this one")
            sending.sign(session, row, nonce=missing, gas=_TRANSFER_GAS, fees=fees)
        return row


def _can_be_taken_back(receipt: Receipt) -> bool:
    """Whether everything that follows from the receipt is undone when its block goes."""
    frozen = event_topic("Router", "TaskFrozen")
    return receipt.succeeded and not any(log.topics and log.topics[0] == frozen for log in receipt.logs)
