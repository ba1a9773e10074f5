"""What every part of the sender works with: the ledger, the chain, the key, and the steps that all of them take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from structlog.contextvars import bound_contextvars

from coordinator.ledger.outbox_tables import NonceRow, OutboxTxRow
from coordinator.ledger.outboxes import record_tx_step
from coordinator.ledger.store import Ledger
from coordinator.settlement import outbox
from coordinator.settlement.chain import Block, Chain, Fees, Reverted, RpcRefused
from coordinator.settlement.effects import Effects
from coordinator.settlement.finality import Finality
from coordinator.settlement.signer import Signer
from verifier.errors import Refused, Unavailable, W3bstreamError
from verifier.finality_proof import FinalityProof

logger = structlog.get_logger(__name__)
GAS_MARGIN_PERCENT = 25
"""On top of the estimate: state may change between estimate and block."""


@dataclass(frozen=True)
class SenderLimits:
    """How much and how fast."""

    in_flight: int = 16
    """Transactions sent and not mined."""
    resend_seconds: float = 5.0
    """A transaction without a receipt is sent again after so long."""
    bump_seconds: float = 45.0
    """The oldest transaction without a receipt gets higher fees after so long."""
    bump_percent: int = 25
    """How much higher; nodes ask for 10 or more."""
    gap_seconds: float = 10.0
    """A nonce that the chain waits for and no row holds is filled with an empty transfer after so long."""


class ReceiptProofs(Protocol):
    """Proofs of receipts in final blocks; `coordinator.evidence.final_receipts.FinalReceipts` makes them."""

    async def of(self, number: int, block_hash: str, transaction_hash: str) -> FinalityProof:
        """The proof of one transaction's receipt. Raises W3bstreamError while the chain does not give it."""


@dataclass
class Sending:
    """One sender's surroundings and what it remembers between steps; all of the latter may be lost."""

    ledger: Ledger
    chain: Chain
    agreed: Chain
    """The same chain, for what cannot be taken back (`many_chains.agreed`)."""
    signer: Signer
    effects: Effects
    chain_id: int
    finality: Finality
    limits: SenderLimits
    receipts: ReceiptProofs | None = None
    """Where a final settlement's proof comes from; None on a chain whose blocks nobody signs."""
    sent_at: dict[int, float] = field(default_factory=dict)
    """Row id → monotonic time at which its bytes last left."""
    resent: dict[int, int] = field(default_factory=dict)
    """Row id → how often they were sent again."""
    troubles: list[W3bstreamError] = field(default_factory=list)
    """Why some rows stood still in this step, while the others went on."""

    async def simulate(self, row: OutboxTxRow, data: bytes | None = None, *, agreed: bool = False) -> Reverted | None:
        """Why the row would be refused as of the latest block; None when it passes."""
        chain = self.agreed if agreed else self.chain
        try:
            await chain.call(self.signer.address, row.to, row.data if data is None else data)
        except Reverted as error:
            return error
        return None

    async def gas(self, row: OutboxTxRow) -> int | None:
        """Gas to sign the row with; None when it would be refused now."""
        try:
            estimate = await self.chain.estimate_gas(self.signer.address, row.to, row.data)
        except Reverted:
            return None
        return estimate * (100 + GAS_MARGIN_PERCENT) // 100

    def sign(self, session: AsyncSession, row: OutboxTxRow, *, nonce: int, gas: int, fees: Fees) -> None:
        """Sign the row's call and store the bytes."""
        signed = self.signer.sign(chain_id=self.chain_id, nonce=nonce, to=row.to, data=row.data, gas=gas, fees=fees)
        outbox.set_signed(
            session,
            row,
            self.ledger.clock(),
            signed,
            chain_id=self.chain_id,
            sender=self.signer.address,
            nonce=nonce,
            gas=gas,
            fees=fees,
        )
        session.add(row)

    async def send(self, row: OutboxTxRow) -> None:
        """Hand in the stored bytes. Whatever the answer is, it says nothing about what becomes of them."""
        assert row.raw is not None
        assert row.id is not None
        again = row.id in self.sent_at or row.reorgs > 0
        bound = {"task": row.ref["task_id"]} if "task_id" in row.ref else {}
        try:
            with bound_contextvars(tx=row.id, purpose=row.purpose, **bound):
                await self.chain.send_raw(row.raw)
        except (RpcRefused, Reverted) as error:
            # "already known", "nonce too low", "underpriced": the next look at the receipt decides.
            logger.info("mempool answered", tx=row.id, error=error.message)
        except Unavailable as error:
            # The server may have taken the bytes and then fallen silent: unknown, and never failed.
            self.troubles.append(error)
        self.sent_at[row.id] = time.monotonic()
        if again:
            await self._note_resent(row)

    async def _note_resent(self, row: OutboxTxRow) -> None:
        """The 1st, 2nd, 4th, 8th … resend stands in the ladder: a chain that is away for days must not fill it."""
        assert row.id is not None
        count = self.resent[row.id] = self.resent.get(row.id, 0) + 1
        if count & (count - 1):
            return
        async with self.ledger.transaction() as session:
            found = await outbox.locked(session, row, "SENT")
            if found is not None:
                reason = f"the same bytes, for the {count}. time"
                record_tx_step(session, self.ledger.clock(), found, source="SENT", target="RESENT", reason=reason)

    def forget(self, row: OutboxTxRow) -> None:
        """The row is not on its way any more."""
        self.sent_at.pop(row.id or 0, None)
        self.resent.pop(row.id or 0, None)

    async def wait(self, row: OutboxTxRow, seconds: float, reason: str) -> None:
        """Back to the queue, to be signed anew after `seconds`."""
        async with self.ledger.transaction() as session:
            found = await outbox.locked(session, row, *outbox.UNSENT_STATES)
            if found is not None:
                now = self.ledger.clock()
                outbox.set_waiting(session, found, now, now + round(seconds * 1000), reason)
                session.add(found)
                await self.effects.waiting(session, now, found)
        self.forget(row)

    async def refuse(self, row: OutboxTxRow, error: Refused, name: str = "") -> None:
        """It will never be accepted as it is; `name` is the contract's custom error."""
        async with self.ledger.transaction() as session:
            found = await outbox.locked(session, row, *outbox.UNSENT_STATES)
            if found is not None:
                found.ref = {**found.ref, "error": name}
                outbox.set_refused(session, found, self.ledger.clock(), error)
                session.add(found)
                await self.effects.refused(session, self.ledger.clock(), found, error)
        self.forget(row)
        logger.warning("refused", tx=row.id, purpose=row.purpose, code=error.code, reason=error.message)

    async def surest(self, head: Block) -> Block:
        """The head on the word of most servers, for what is not taken back; `head` itself where that was their word."""
        if self.agreed is self.chain:
            return head
        found = await self.agreed.block("latest")
        if found is None:
            raise Unavailable("W3B-5001", "the chain has no block")
        return min(head, found, key=lambda block: block.number)

    async def mined_nonce(self) -> int:
        """How many transactions of the account are mined.

        More than we ever gave a nonce to is believed when most servers say so: bytes that are signed for a nonce which
        never comes would have every nonce before it filled.
        """
        mined = await self.chain.nonce(self.signer.address)
        if self.agreed is self.chain:
            return mined
        async with self.ledger.reading() as session:
            known = await session.get(NonceRow, (self.chain_id, self.signer.address))
        return mined if known and mined <= known.next_nonce else await self.agreed.nonce(self.signer.address)

    async def is_behind(self, head: Block) -> bool:
        """Whether something of ours is mined above `head`: of two servers the slower one sets the head, and a refusal
        there says nothing about what builds on later blocks."""
        async with self.ledger.reading() as session:
            last = await session.exec(
                select(func.max(OutboxTxRow.block_number)).where(
                    col(OutboxTxRow.state).in_(outbox.DONE_STATES),
                    col(OutboxTxRow.chain_id).in_((outbox.ANY_CHAIN, self.chain_id)),
                )
            )
            return (last.one() or 0) > head.number

    async def is_taken_back(self, row: OutboxTxRow) -> bool:
        """Whether a reorg took back something that the row may build on, and it is not mined again yet.

        A refusal in simulation says nothing then.
        """
        async with self.ledger.reading() as session:
            if row.after_tx is not None:
                before = await session.get_one(OutboxTxRow, row.after_tx)
                if before.state not in outbox.DONE_STATES:
                    return True
            older = await session.exec(
                select(OutboxTxRow.id)
                .where(OutboxTxRow.state == "SENT", OutboxTxRow.reorgs > 0, col(OutboxTxRow.id) < row.id)
                .limit(1)
            )
            return older.first() is not None
