"""Takes transactions from the outbox to the chain, each exactly once in effect.

Rules:
1. A row's nonce, signed bytes and hash are committed before the first byte leaves. After that the same bytes are sent
   again on any doubt; a nonce holds one transaction at most, so nothing can take effect twice.
2. No answer, a timeout or a refusal by the mempool says nothing: only a receipt, or a final block whose account nonce
   has passed ours, decides.
3. A transaction is simulated before it is signed. What a refusal means stands in `verdicts.py`, what each fate means
   for the ledger in `effects.py`; both happen in the transaction that moves the row.
4. A mined row is looked at until its block is final; when a reorg takes the block away, the same bytes go out again.
   Only another block under its number is a reorg: a server that does not have the number yet says nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, OutboxTxRow
from coordinator.settlement import outbox, probe, settled
from coordinator.settlement.batches import encode, first_bad, items_of
from coordinator.settlement.chain import Block, Chain, Receipt, Reverted, RpcRefused
from coordinator.settlement.effects import Effects
from coordinator.settlement.finality import Finality
from coordinator.settlement.signer import Signer
from coordinator.settlement.verdicts import Verdict, judge, retry_delay
from verifier.bindings import Revert, TaskStatus, decode_revert
from verifier.errors import Refused, Unavailable

logger = structlog.get_logger(__name__)
GAS_MARGIN_PERCENT = 25
"""On top of the estimate: state may change between estimate and block."""
SIGN_CAP = 5
"""A transaction that reverts on chain although it passes in simulation is signed anew at most so often."""


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


class TxSender:
    """The loop body; call `step` again and again. One object at a time may work on a ledger."""

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
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._signer = signer
        self._effects = effects
        self._chain_id = chain_id
        self._finality = finality
        self._limits = limits or SenderLimits()
        self._sent_at: dict[int, float] = {}
        self._seen_head = ""
        self._look_again = False
        self.held_projects: dict[int, float] = {}
        """Projects that the chain says are paused: monotonic time until which their tasks wait."""

    @property
    def busy(self) -> bool:
        """Whether a transaction is on its way, so that the next block matters."""
        return bool(self._sent_at) or self._look_again

    async def step(self) -> None:
        """One look at the chain, and everything that follows from it. Raises Unavailable (W3B-5001)."""
        head = await self._chain.block("latest")
        if head is None:
            raise Unavailable("W3B-5001", "the chain has no block")
        if head.hash != self._seen_head or self._look_again:
            self._look_again = await self._watch_mined(head)
        await self._follow_sent(head)
        await self._submit_ready(head)
        self._seen_head = head.hash

    # --- mined rows: reorgs and finality ---

    async def _watch_mined(self, head: Block) -> bool:
        """Look at every mined row; whether to look again although no new head comes."""
        async with self._ledger.reading() as session:
            rows = await outbox.in_state(session, "MINED")
        if not rows:
            return False
        final, again = await self._finality.number(self._chain, head), False
        canonical: dict[int, str] = {}
        for row in rows:
            number = row.block_number or 0
            if number > head.number:  # the server lags behind the one that gave the receipt; a new head will tell
                continue
            if number not in canonical:
                block = await self._chain.block(number)
                canonical[number] = block.hash if block else ""
            if not canonical[number]:  # servers behind one URL that are not equally far
                again = True
            elif canonical[number] != row.block_hash:
                await self._dropped(row)
            elif number <= final:
                again |= not await self._final(row)
        return again

    async def _dropped(self, row: OutboxTxRow) -> None:
        logger.warning("reorg", tx=row.id, purpose=row.purpose, block=row.block_number)
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            await self._effects.dropped(session, self._ledger.clock(), row)
            outbox.set_dropped(row, self._ledger.clock())
            if row.state == "QUEUED":
                await self._effects.waiting(session, self._ledger.clock(), row)
            session.add(row)
        self._sent_at.pop(row.id or 0, None)

    async def _final(self, row: OutboxTxRow) -> bool:
        """MINED → FINAL; False when the Router could not be asked yet what became of the task."""
        frozen = False
        async with self._ledger.reading() as session:
            task = await settled.settles(session, row) if row.purpose == "settle" else None
        if task is not None:
            status = await probe.task_status(self._chain, self._signer.address, row.to, task.id)
            if status not in (TaskStatus.SETTLED, TaskStatus.FROZEN):  # the server lags behind its own final block
                return False
            frozen = status is TaskStatus.FROZEN
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            row.state, row.updated_at = "FINAL", self._ledger.clock()
            session.add(row)
            await self._effects.final(session, self._ledger.clock(), row, frozen=frozen)
        return True

    # --- sent rows: receipts, resending, higher fees ---

    async def _follow_sent(self, head: Block) -> None:
        async with self._ledger.reading() as session:
            rows = await outbox.in_state(session, "SENT")
        oldest = True
        for row in rows:
            receipt = await self._receipt(row) if self._is_news(row, head) else None
            if receipt is None:
                await self._push(row, head, oldest=oldest)
                oldest = False
            elif receipt.succeeded:
                await self._mined(row, receipt)
            else:
                await self._reverted(row, head)

    def _is_news(self, row: OutboxTxRow, head: Block) -> bool:
        """Receipts come with blocks: without a new one only a row that was never asked about is."""
        return head.hash != self._seen_head or row.id not in self._sent_at or self._is_due(row)

    def _is_due(self, row: OutboxTxRow) -> bool:
        sent = self._sent_at.get(row.id or 0)
        return sent is None or time.monotonic() - sent >= self._limits.resend_seconds

    async def _receipt(self, row: OutboxTxRow) -> Receipt | None:
        for tx_hash in outbox.hashes_of(row):
            receipt = await self._chain.receipt(tx_hash)
            if receipt is not None:
                return receipt
        return None

    async def _push(self, row: OutboxTxRow, head: Block, *, oldest: bool) -> None:
        """Send again, with higher fees when it is the one that all others wait for and has waited long."""
        if not self._is_due(row):
            return
        if await self._nonce_is_gone(row, head):
            await self._wait(row, 0.0, "its nonce went to another transaction of this account")
            return
        waited = (self._ledger.clock() - row.updated_at) / 1000
        if oldest and waited >= self._limits.bump_seconds:
            row = await self._bump(row)
        await self._send(row)

    async def _nonce_is_gone(self, row: OutboxTxRow, head: Block) -> bool:
        """Whether a final block has used the nonce although none of our hashes has a receipt."""
        assert row.nonce is not None
        if await self._chain.nonce(self._signer.address) <= row.nonce:
            return False
        final = await self._finality.number(self._chain, head)
        used = final >= 0 and await self._chain.nonce(self._signer.address, final) > row.nonce
        # Asked in this order the receipt cannot have come between the two questions.
        return used and await self._receipt(row) is None

    async def _bump(self, row: OutboxTxRow) -> OutboxTxRow:
        fees = outbox.fees_of(row).bumped(self._limits.bump_percent).at_least(await self._chain.fees())
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            assert row.nonce is not None
            gas, nonce = int(row.ref["gas"]), row.nonce
            signed = self._signer.sign(
                chain_id=self._chain_id, nonce=nonce, to=row.to, data=row.data, gas=gas, fees=fees
            )
            outbox.set_signed(
                row, self._ledger.clock(), signed, sender=self._signer.address, nonce=nonce, gas=gas, fees=fees
            )
            session.add(row)
        logger.info("fees raised", tx=row.id, nonce=row.nonce, max_fee=fees.max_fee)
        return row

    async def _send(self, row: OutboxTxRow) -> None:
        assert row.raw is not None
        assert row.id is not None
        try:
            await self._chain.send_raw(row.raw)
        except (RpcRefused, Reverted) as error:
            # "already known", "nonce too low", "underpriced": the next look at the receipt decides.
            logger.info("mempool answered", tx=row.id, error=error.message)
        self._sent_at[row.id] = time.monotonic()

    async def _mined(self, row: OutboxTxRow, receipt: Receipt) -> None:
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            outbox.set_mined(row, self._ledger.clock(), receipt)
            session.add(row)
            await self._effects.mined(session, self._ledger.clock(), row, receipt)
        self._sent_at.pop(row.id or 0, None)
        self._look_again = True  # where a block is final at once, no new head will come to tell
        logger.info("mined", tx=row.id, purpose=row.purpose, block=receipt.block_number, gas=receipt.gas_used)

    async def _reverted(self, row: OutboxTxRow, head: Block) -> None:
        """The nonce is spent without effect; ask the chain why as of now."""
        self._sent_at.pop(row.id or 0, None)
        error = await self._simulate(row)
        if error is not None:
            await self._refusal(row, error, head)
        elif row.tries < SIGN_CAP:
            await self._wait(row, retry_delay(row.tries), "it reverted on chain, and passes now")
        else:
            await self._refuse(row, Refused("W3B-5002", f"reverted on chain {SIGN_CAP} times"))

    # --- queued rows ---

    async def _submit_ready(self, head: Block) -> None:
        async with self._ledger.reading() as session:
            sent = len(await outbox.in_state(session, "SENT"))
            room = self._limits.in_flight - sent
            rows = await outbox.ready(session, self._ledger.clock(), room) if room > 0 else []
        for row, before in rows:
            if before is not None and before.state == "REFUSED":
                message = f"transaction {before.id} ({before.purpose}) was refused: {before.reason}"
                await self._refuse(row, Refused("W3B-5005", message))
            else:
                await self._submit(row, head)

    async def _submit(self, row: OutboxTxRow, head: Block) -> None:
        async with self._ledger.reading() as session:
            unwanted = await self._effects.unwanted(session, row)
            if row.purpose == "apply_batch" and await outbox.has_open_batch(session, before=row.id):
                return
        if unwanted:
            await self._refuse(row, Refused("W3B-5002", f"not sent: {unwanted}"))
            return
        error = await self._simulate(row)
        if error is not None:
            await self._refusal(row, error, head)
            return
        try:
            estimate = await self._chain.estimate_gas(self._signer.address, row.to, row.data)
        except Reverted:  # the state moved between the two calls; the next step sees why
            return
        await self._sign_and_send(row, estimate * (100 + GAS_MARGIN_PERCENT) // 100)

    async def _sign_and_send(self, row: OutboxTxRow, gas: int) -> None:
        fees = await self._chain.fees()
        mined = await self._chain.nonce(self._signer.address)
        sender = self._signer.address
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            if row.state != "QUEUED" or await self._effects.unwanted(session, row):
                return
            nonce = await outbox.reserve_nonce(session, self._chain_id, sender, mined)
            signed = self._signer.sign(
                chain_id=self._chain_id, nonce=nonce, to=row.to, data=row.data, gas=gas, fees=fees
            )
            outbox.set_signed(row, self._ledger.clock(), signed, sender=sender, nonce=nonce, gas=gas, fees=fees)
            session.add(row)
            await self._effects.sent(session, self._ledger.clock(), row)
        await self._send(row)

    async def _simulate(self, row: OutboxTxRow, data: bytes | None = None) -> Reverted | None:
        try:
            await self._chain.call(self._signer.address, row.to, row.data if data is None else data)
        except Reverted as error:
            return error
        return None

    # --- refusals ---

    async def _refusal(self, row: OutboxTxRow, error: Reverted, head: Block) -> None:
        revert = decode_revert(error.data)
        if row.purpose == "apply_batch":
            await self._refused_batch(row, error, revert)
            return
        verdict = judge(row.purpose, revert.name)
        if verdict is Verdict.DONE and await self._adopt(row, head):
            return
        if verdict is Verdict.RETRY or await self._waits_again(row):
            await self._wait(row, retry_delay(row.tries), f"waits: {revert}")
            return
        await self._refuse(row, Refused("W3B-5002", f"{row.purpose} refused: {revert}"), revert.name)

    async def _waits_again(self, row: OutboxTxRow) -> bool:
        """Whether a reorg took back what this transaction came after: the refusal says nothing then."""
        if row.after_tx is None:
            return False
        async with self._ledger.reading() as session:
            before = await session.get_one(OutboxTxRow, row.after_tx)
        return before.state not in outbox.DONE_STATES

    async def _adopt(self, row: OutboxTxRow, head: Block) -> bool:
        """The effect is there by another transaction: take that one's place in the ladder to finality."""
        receipt: Receipt | None = None
        async with self._ledger.reading() as session:
            if row.purpose == "settle":
                attempt = await session.get_one(AttemptRow, row.ref["attempt_id"])
                receipt = await probe.settled_by(self._chain, self._signer.address, row.to, attempt)
                if receipt is None:
                    return False
            elif not await probe.is_done(session, self._chain, self._signer.address, row):
                return False
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            now = self._ledger.clock()
            outbox.set_done(row, now, head.number, head.hash)
            if receipt is not None:
                outbox.set_mined(row, now, receipt)
            session.add(row)
            await self._effects.mined(session, now, row, receipt)
        logger.info("found done", tx=row.id, purpose=row.purpose)
        return True

    async def _refused_batch(self, row: OutboxTxRow, error: Reverted, revert: Revert) -> None:
        """Find the item that the contract refuses; everything else goes back to the collector."""
        items = items_of(row.ref)

        async def refusal(count: int) -> Revert | None:
            async with self._ledger.reading() as session:
                data = await encode(session, items[:count])
            refused = await self._simulate(row, data)
            return None if refused is None else decode_revert(refused.data)

        if await refusal(0) is not None:  # no item's fault: no coordinator, no contract
            await self._wait(row, retry_delay(row.tries + 1), f"waits: {revert}")
            logger.error("FleetManagement takes no batch from this account", tx=row.id, why=str(revert))
            return
        found = await first_bad(len(items), refusal)
        why = f"batch refused: {revert}" if found is None else f"item {found[0] + 1} of {len(items)}: {found[1]}"
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            now = self._ledger.clock()
            outbox.set_refused(row, now, Refused("W3B-5002", why))
            session.add(row)
            await self._effects.refused(session, now, row, error)
            if found is not None:
                await self._effects.bad_item(session, now, items[found[0]], found[1])
        if found is not None and found[1].name == "ProjectInactive":
            self.held_projects[int(found[1].args["projectId"])] = time.monotonic() + retry_delay(5)
        logger.warning("batch refused", tx=row.id, reason=why)

    async def _refuse(self, row: OutboxTxRow, error: Refused, name: str = "") -> None:
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            row.ref = {**row.ref, "error": name}
            outbox.set_refused(row, self._ledger.clock(), error)
            session.add(row)
            await self._effects.refused(session, self._ledger.clock(), row, error)
        logger.warning("refused", tx=row.id, purpose=row.purpose, code=error.code, reason=error.message)

    async def _wait(self, row: OutboxTxRow, seconds: float, reason: str) -> None:
        async with self._ledger.transaction() as session:
            row = await session.get_one(OutboxTxRow, row.id, populate_existing=True)
            now = self._ledger.clock()
            outbox.set_waiting(row, now, now + round(seconds * 1000), reason)
            session.add(row)
            await self._effects.waiting(session, now, row)
        self._sent_at.pop(row.id or 0, None)
