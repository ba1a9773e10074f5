"""Mined transactions: up the ladder from MINED over SAFE to FINAL, and back to SENT when a reorg takes their block.

Rules:
1. A row is looked at until its block is final. Only another block under its number is a reorg: a server that does not
   have the number yet says nothing. Where the chain does not come there at all, the receipt is asked for once more.
2. What can be taken back (a reorg) follows from one server's word that no other contradicts; what cannot (SAFE, FINAL)
   needs the word of most servers (`many_chains.agreed`), also that the transaction is in the block: one server's
   receipt brought the row here.
3. While the chain does not say what is final, reorgs are still looked for, and nothing becomes final.
4. Where delegates sign the blocks, a settlement becomes final together with what shows it (`FinalityProof`), for the
   event's bytes never change. It is fetched before the ledger's transaction; what the chain does not give now is asked
   for again at the next look.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.settlement import outbox, probe, settled
from coordinator.settlement.chain import Block, Disagreement
from coordinator.settlement.sending import Sending
from verifier.bindings import TaskStatus
from verifier.errors import Unavailable, W3bstreamError
from verifier.finality_proof import FinalityProof

logger = structlog.get_logger(__name__)
_NONE = -1
_AHEAD_SECONDS = 60.0
"""How long a row may be in a block that the chain does not have before its receipt is asked for once more."""


@dataclass(frozen=True)
class _Ending:
    """What is told of a row whose block is final."""

    frozen: bool = False
    """The Router has frozen the task that the row settled."""
    proof: FinalityProof | None = None


class Ladder:
    """Watches mined rows of one sender."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending

    async def watch(self, head: Block) -> bool:
        """Look at every mined row; whether to look again although no new head comes."""
        async with self._sending.ledger.reading() as session:
            rows = await outbox.in_state(session, *outbox.WATCHED_STATES, chain_id=self._sending.chain_id)
        if not rows:
            return False
        (safe, final), again = await self._levels(head), False
        canonical: dict[int, str] = {}
        for row in rows:
            number = row.block_number or 0
            try:
                if number > head.number:  # the server lags behind the one that gave the receipt; a new head will tell
                    await self._ask_again(row)
                    continue
                if number not in canonical:
                    block = await self._sending.chain.block(number)
                    canonical[number] = block.hash if block else ""
                if not canonical[number]:  # servers behind one URL that are not equally far
                    again = True
                elif canonical[number] != row.block_hash:
                    await self._dropped(row)
                elif number <= safe:
                    again |= not await self._climb(row, "FINAL" if number <= final else "SAFE")
            except Disagreement as error:
                self._sending.troubles.append(error)
        return again

    async def _levels(self, head: Block) -> tuple[int, int]:
        """Numbers of the highest safe and of the highest final block; below 0 where the chain does not say."""
        finality, agreed = self._sending.finality, self._sending.agreed
        try:
            head = await self._sending.surest(head)
            final = min(await finality.number(agreed, head), head.number)
            return await finality.safe_number(agreed, head, final), final
        except Unavailable as error:
            self._sending.troubles.append(error)
            return _NONE, _NONE

    async def _ask_again(self, row: OutboxTxRow) -> None:
        """Take back a row whose block never came; a receipt with a number far ahead would hold it for ever."""
        sending = self._sending
        if not row.tx_hash or abs(sending.ledger.clock() - row.updated_at) < _AHEAD_SECONDS * 1000:
            return
        receipt = await sending.chain.receipt(row.tx_hash)
        if receipt is None or receipt.block_hash != row.block_hash:
            await self._dropped(row)

    async def _is_mined(self, row: OutboxTxRow) -> bool:
        """Whether most servers have the row's transaction in its block."""
        sending = self._sending
        if sending.agreed is sending.chain or not row.tx_hash:
            return True
        receipt = await sending.agreed.receipt(row.tx_hash)
        return receipt is not None and receipt.succeeded and receipt.block_hash == row.block_hash

    async def _dropped(self, row: OutboxTxRow) -> None:
        sending = self._sending
        logger.warning("reorg", tx=row.id, purpose=row.purpose, block=row.block_number)
        async with sending.ledger.transaction() as session:
            found = await outbox.locked(session, row, *outbox.WATCHED_STATES)
            if found is not None:
                now = sending.ledger.clock()
                await sending.effects.dropped(session, now, found)
                outbox.set_dropped(session, found, now)
                if found.state == "QUEUED":
                    await sending.effects.waiting(session, now, found)
                session.add(found)
        sending.sent_at.pop(row.id or 0, None)

    async def _climb(self, row: OutboxTxRow, target: str) -> bool:
        """To SAFE or FINAL; False when the servers could not be asked yet whether it really is so."""
        if row.state == target:
            return True
        sending = self._sending
        block = await sending.agreed.block(row.block_number or 0)
        if block is None or block.hash != row.block_hash:
            return False
        if not await self._is_mined(row):
            await self._dropped(row)
            return True
        ending = await self._ending(row) if target == "FINAL" else _Ending()
        if ending is None:
            return False
        async with sending.ledger.transaction() as session:
            found = await outbox.locked(session, row, *outbox.WATCHED_STATES)
            if found is None or found.block_hash != row.block_hash:
                return True
            now = sending.ledger.clock()
            outbox.set_rung(session, found, now, target)
            session.add(found)
            if target == "FINAL":
                await sending.effects.final(session, now, found, frozen=ending.frozen, proof=ending.proof)
        return True

    async def _ending(self, row: OutboxTxRow) -> _Ending | None:
        """How the row ends, asked before its transaction begins; None when the chain could not say it yet."""
        status = await self._status(row)
        if status is None:
            return _Ending()
        if status not in (TaskStatus.SETTLED, TaskStatus.FROZEN):  # it lags behind its own final block
            return None
        frozen, receipts = status is TaskStatus.FROZEN, self._sending.receipts
        if receipts is None:
            return _Ending(frozen)
        try:
            return _Ending(frozen, await receipts.of(row.block_number or 0, row.block_hash, row.tx_hash))
        except W3bstreamError as error:
            self._sending.troubles.append(error)
            return None

    async def _status(self, row: OutboxTxRow) -> TaskStatus | None:
        """Where the Router has the task that this row settled; None when it settled none."""
        async with self._sending.ledger.reading() as session:
            task = await settled.settles(session, row) if row.purpose == "settle" else None
        if task is None:
            return None
        return await probe.task_status(self._sending.agreed, self._sending.signer.address, row.to, task.id)
