"""Takes transactions from the outbox to the chain, each exactly once in effect.

Rules:
1. A row's nonce, signed bytes and hash are committed before the first byte leaves. After that the same bytes are sent
   again on any doubt; a nonce holds one transaction at most, so nothing can take effect twice.
2. A transaction is simulated before it is signed. What a refusal means stands in `verdicts.py` and `refusals.py`, what
   each fate means for the ledger in `effects.py`; both happen in the transaction that moves the row.
3. A proof is sent for a live attempt only, under the fencing token with which it was enqueued: looked at again in the
   transaction that signs.
4. Sent rows are followed by the rules of `mempool.py`, mined rows by those of `ladder.py`.
5. Rows of another chain are never touched.
"""

from __future__ import annotations

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow
from coordinator.settlement import outbox
from coordinator.settlement.chain import Block, Chain, Disagreement, Receipt
from coordinator.settlement.effects import Effects
from coordinator.settlement.finality import Finality
from coordinator.settlement.ladder import Ladder
from coordinator.settlement.many_chains import agreed
from coordinator.settlement.mempool import Mempool
from coordinator.settlement.refusals import Refusals
from coordinator.settlement.sending import ReceiptProofs, SenderLimits, Sending
from coordinator.settlement.signer import Signer
from verifier.errors import Refused, Unavailable

logger = structlog.get_logger(__name__)


class TxSender:
    """The loop body; call `step` again and again. Of several processes on one ledger the leader runs it."""

    def __init__(
        self,
        ledger: Ledger,
        chain: Chain,
        signer: Signer,
        effects: Effects,
        *,
        chain_id: int,
        finality: Finality,
        limits: SenderLimits | None = None,
        receipts: ReceiptProofs | None = None,
    ) -> None:
        self._sending = Sending(
            ledger, chain, agreed(chain), signer, effects, chain_id, finality, limits or SenderLimits(), receipts
        )
        self.held_projects: dict[int, float] = {}
        """Projects that the chain says are paused: monotonic time until which their tasks wait."""
        self._ladder = Ladder(self._sending)
        self.mempool = Mempool(self._sending)
        """What was sent and has no receipt."""
        self._refusals = Refusals(self._sending, self.held_projects)
        self._ledger, self._chain, self._effects = ledger, chain, effects
        self.chain_time = 0
        """Timestamp of the newest block seen, in seconds; 0 before."""
        self._seen_head = ""
        self._look_again = False

    @property
    def busy(self) -> bool:
        """Whether a transaction is on its way, so that the next block matters."""
        return bool(self._sending.sent_at) or self._look_again

    async def step(self) -> None:
        """One look at the chain, and everything that follows from it.

        Raises Unavailable: W3B-5001 when the chain does not answer; W3B-5012 or W3B-5013 when its servers disagree about
        some rows or too few answer, after all other rows were served.
        """
        self._sending.troubles.clear()
        head = await self._chain.block("latest")
        if head is None:
            raise Unavailable("W3B-5001", "the chain has no block")
        self.chain_time = head.timestamp
        new_head = head.hash != self._seen_head
        if new_head or self._look_again:
            self._look_again = await self._ladder.watch(head)
        await self._follow_sent(head, new_head=new_head)
        await self._submit_ready(head)
        if self._sending.troubles:
            raise self._sending.troubles[0]
        self._seen_head = head.hash

    async def _follow_sent(self, head: Block, *, new_head: bool) -> None:
        for row, receipt in await self.mempool.follow(head, new_head=new_head):
            if receipt.succeeded:
                await self._mined(row, receipt)
            else:
                await self._refusals.reverted(row, head)

    async def _mined(self, row: OutboxTxRow, receipt: Receipt) -> None:
        async with self._ledger.transaction() as session:
            found = await outbox.locked(session, row, "SENT")
            if found is not None:
                outbox.set_mined(session, found, self._ledger.clock(), receipt)
                session.add(found)
                await self._effects.mined(session, self._ledger.clock(), found, receipt)
        self._sending.forget(row)
        self._look_again = True  # where a block is final at once, no new head will come to tell
        logger.info("mined", tx=row.id, purpose=row.purpose, block=receipt.block_number, gas=receipt.gas_used)

    # --- queued rows ---

    async def _submit_ready(self, head: Block) -> None:
        sending = self._sending
        async with self._ledger.reading() as session:
            sent = len(await outbox.in_state(session, "SENT", chain_id=sending.chain_id))
            room = sending.limits.in_flight - sent
            now = self._ledger.clock()
            rows = await outbox.ready(session, now, room, chain_id=sending.chain_id) if room > 0 else []
        for row, before in rows:
            if before is not None and before.state == "REFUSED":
                message = f"transaction {before.id} ({before.purpose}) was refused: {before.reason}"
                await sending.refuse(row, Refused("W3B-5005", message))
                continue
            try:
                await self._submit(row, head)
            except Disagreement as error:
                sending.troubles.append(error)

    async def _submit(self, row: OutboxTxRow, head: Block) -> None:
        async with self._ledger.reading() as session:
            unwanted = await self._effects.unwanted(session, row)
            if row.purpose == "apply_batch" and await _waits_for_another_batch(session, row):
                return
        if unwanted:
            await self._sending.refuse(row, Refused("W3B-5002", f"not sent: {unwanted}"))
            return
        error = await self._sending.simulate(row)
        if error is not None:
            await self._refusals.simulated(row, error, head)
            return
        gas = await self._sending.gas(row)
        if gas is not None:  # else the state moved between the two calls; the next step sees why
            await self._sign_and_send(row, gas)

    async def _sign_and_send(self, row: OutboxTxRow, gas: int) -> None:
        sending = self._sending
        fees = await self._chain.fees()
        mined = await sending.mined_nonce()
        async with self._ledger.transaction() as session:
            found = await outbox.locked(session, row, "QUEUED")
            if found is None or await self._effects.unwanted(session, found):
                return
            nonce = await outbox.reserve_nonce(session, sending.chain_id, sending.signer.address, mined)
            sending.sign(session, found, nonce=nonce, gas=gas, fees=fees)
            await self._effects.sent(session, self._ledger.clock(), found)
        await sending.send(found)


async def _waits_for_another_batch(session: AsyncSession, row: OutboxTxRow) -> bool:
    """Tasks are recorded batch after batch, and so is everything else; an assignment waits for its task's record."""
    older = await session.exec(
        select(OutboxTxRow).where(
            OutboxTxRow.purpose == "apply_batch",
            col(OutboxTxRow.state).in_(outbox.UNSENT_STATES),
            col(OutboxTxRow.id) < row.id,
        )
    )
    found = await session.exec(select(AttemptRow.task_id).where(col(AttemptRow.id).in_(row.ref["assignments"])))
    assigned, records = set(found.all()), bool(row.ref["tasks"])
    return any(bool(each.ref["tasks"]) == records or assigned & set(each.ref["tasks"]) for each in older)
