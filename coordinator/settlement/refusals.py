"""What follows when the chain refuses a transaction, in simulation or in a block; the verdicts stand in `verdicts.py`.

Nothing that cannot be taken back follows from one server's word where there are several, nor while a reorg has taken
back what the transaction builds on.
"""

from __future__ import annotations

import time

import structlog

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow
from coordinator.settlement import outbox, probe
from coordinator.settlement.batches import encode, first_bad, items_of
from coordinator.settlement.chain import Block, Receipt, Reverted
from coordinator.settlement.sending import Sending
from coordinator.settlement.verdicts import Verdict, judge, retry_delay
from verifier.bindings import Revert, decode_revert
from verifier.errors import Refused

logger = structlog.get_logger(__name__)
SIGN_CAP = 5
"""A transaction that reverts on chain although it passes in simulation is signed anew at most so often."""


class Refusals:
    """Judges refusals for one sender.

    Parameters: `held_projects` takes the projects that the chain says are paused: monotonic time until which to wait.
    """

    def __init__(self, sending: Sending, held_projects: dict[int, float]) -> None:
        self._sending = sending
        self._held_projects = held_projects

    async def reverted(self, row: OutboxTxRow, head: Block) -> None:
        """The nonce is spent without effect; ask the chain why as of now."""
        sending = self._sending
        sending.forget(row)
        error = await sending.simulate(row, agreed=True)
        if error is not None:
            await self.simulated(row, error, head)
        elif row.tries < SIGN_CAP:
            await sending.wait(row, retry_delay(row.tries), "it reverted on chain, and passes now")
        else:
            await sending.refuse(row, Refused("W3B-5002", f"reverted on chain {SIGN_CAP} times"))

    async def simulated(self, row: OutboxTxRow, error: Reverted, head: Block) -> None:
        """The row would be refused as of the latest block."""
        sending = self._sending
        if sending.agreed is not sending.chain:
            agreed = await sending.simulate(row, agreed=True)
            if agreed is None:  # the first word was one server's alone; the next step asks again
                return
            error = agreed
        revert = decode_revert(error.data)
        if await sending.is_taken_back(row):
            await sending.wait(row, retry_delay(row.tries), f"waits for what a reorg took back: {revert}")
            return
        if await sending.is_behind(head):
            await sending.wait(row, retry_delay(row.tries), f"waits for servers at block {head.number}: {revert}")
            return
        if row.purpose == "apply_batch":
            await self._batch(row, error, revert)
            return
        verdict = judge(row.purpose, revert.name)
        if verdict is Verdict.DONE and await self._adopt(row, head):
            return
        if verdict is Verdict.RETRY:
            await sending.wait(row, retry_delay(row.tries), f"waits: {revert}")
            return
        await sending.refuse(row, Refused("W3B-5002", f"{row.purpose} refused: {revert}"), revert.name)

    async def _adopt(self, row: OutboxTxRow, head: Block) -> bool:
        """The effect is there by another transaction: take that one's place in the ladder to finality."""
        sending = self._sending
        receipt: Receipt | None = None
        async with sending.ledger.reading() as session:
            if row.purpose == "settle":
                attempt = await session.get_one(AttemptRow, row.ref["attempt_id"])
                receipt = await probe.settled_by(sending.agreed, sending.signer.address, row.to, attempt)
                if receipt is None:
                    return False
            elif not await probe.is_done(session, sending.agreed, sending.signer.address, row):
                return False
        async with sending.ledger.transaction() as session:
            found = await outbox.locked(session, row, *outbox.UNSENT_STATES)
            if found is None:
                return True
            now = sending.ledger.clock()
            if receipt is None:
                outbox.set_done(session, found, now, head.number, head.hash)
            else:
                outbox.set_adopted(session, found, now, receipt)
            session.add(found)
            await sending.effects.mined(session, now, found, receipt)
        logger.info("found done", tx=row.id, purpose=row.purpose)
        return True

    async def _batch(self, row: OutboxTxRow, error: Reverted, revert: Revert) -> None:
        """Find the item that the contract refuses; everything else goes back to the collector."""
        sending, items = self._sending, items_of(row.ref)

        async def refusal(count: int) -> Revert | None:
            async with sending.ledger.reading() as session:
                data = await encode(session, items[:count])
            refused = await sending.simulate(row, data, agreed=True)
            return None if refused is None else decode_revert(refused.data)

        if await refusal(0) is not None:  # no item's fault: no coordinator, no contract
            await sending.wait(row, retry_delay(row.tries + 1), f"waits: {revert}")
            logger.error("FleetManagement takes no batch from this account", tx=row.id, why=str(revert))
            return
        found = await first_bad(len(items), refusal)
        why = f"batch refused: {revert}" if found is None else f"item {found[0] + 1} of {len(items)}: {found[1]}"
        async with sending.ledger.transaction() as session:
            held = await outbox.locked(session, row, *outbox.UNSENT_STATES)
            if held is not None:
                now = sending.ledger.clock()
                outbox.set_refused(session, held, now, Refused("W3B-5002", why))
                session.add(held)
                await sending.effects.refused(session, now, held, error)
                if found is not None:
                    await sending.effects.bad_item(session, now, items[found[0]], found[1])
        if found is not None and found[1].name == "ProjectInactive":
            self._held_projects[int(found[1].args["projectId"])] = time.monotonic() + retry_delay(5)
        sending.forget(row)
        logger.warning("batch refused", tx=row.id, reason=why)
