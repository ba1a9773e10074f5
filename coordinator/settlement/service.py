"""The settlement loop: collect, send, follow, until told to stop. The chain may come and go; nothing is lost."""

from __future__ import annotations

import asyncio

import structlog

from coordinator.ledger.store import Ledger
from coordinator.settlement.chain import Chain
from coordinator.settlement.collector import Collector, CollectorLimits
from coordinator.settlement.effects import Effects, TaskEvent
from coordinator.settlement.finality import Finality
from coordinator.settlement.key_registrations import SessionKeyCalls
from coordinator.settlement.sender import TxSender
from coordinator.settlement.sending import ReceiptProofs, SenderLimits
from coordinator.settlement.signer import Signer
from verifier.bindings import Deployment
from verifier.errors import W3bstreamError

logger = structlog.get_logger(__name__)
_LEAST_PAUSE = 0.02
"""Seconds between two looks at the chain, however busy the ledger is."""
_BUSY_POLL_SECONDS = 0.1
"""How often the chain is looked at while a transaction is on its way."""
_LONGEST_BACKOFF = 15.0


class Settlement:
    """One per ledger.

    Parameters: `finality` is how the chain's blocks become final (`finality.finality_of`, asked once at start); `tell`
    enqueues webhooks (`coordinator.webhooks.task_events.TaskEvents`); `receipts` makes the proofs that they carry, None
    on a chain whose blocks nobody signs; `poll_seconds` is how often the chain is looked at when the ledger is quiet;
    `operator` is the address that new provers name as their operator, the signer's when it is empty.
    """

    def __init__(
        self,
        ledger: Ledger,
        chain: Chain,
        signer: Signer,
        deployment: Deployment,
        *,
        finality: Finality,
        tell: TaskEvent,
        receipts: ReceiptProofs | None = None,
        poll_seconds: float = 0.5,
        sender_limits: SenderLimits | None = None,
        collector_limits: CollectorLimits | None = None,
        operator: str = "",
        session_keys: SessionKeyCalls | None = None,
    ) -> None:
        effects = Effects(router=deployment.router, finality_source=finality.source, tell=tell)
        self._ledger = ledger
        self._poll_seconds = poll_seconds
        self._sender = TxSender(
            ledger,
            chain,
            signer,
            effects,
            chain_id=deployment.chain_id,
            finality=finality,
            limits=sender_limits,
            receipts=receipts,
        )
        self._collector = Collector(
            ledger,
            deployment,
            limits=collector_limits,
            held_projects=self._sender.held_projects,
            chain_time=lambda: self._sender.chain_time,
            operator=operator or signer.address,
            session_keys=session_keys,
        )
        self._stopping = asyncio.Event()
        self._failures = 0
        self.healthy = True
        """Whether the last look at the chain worked."""
        self.last_error = ""
        """Why it did not; empty while healthy."""

    async def run(self) -> None:
        """Settle until `stop`."""
        while not self._stopping.is_set():
            seen = self._ledger.commits
            await self.step()
            if self.healthy:
                await self._ledger.changed(seen, _BUSY_POLL_SECONDS if self._sender.busy else self._poll_seconds)
                await self._pause(_LEAST_PAUSE)
            else:
                await self._pause(min(_LONGEST_BACKOFF, self._poll_seconds * 2 ** min(self._failures, 6)))

    def stop(self) -> None:
        """Make `run` end after the step under way; a later run goes on where it stood."""
        self._stopping.set()

    async def step(self) -> None:
        """One round of everything. A failure is kept in `last_error`; the next round tries again."""
        try:
            await self._collector.round()
            await self._sender.step()
        except W3bstreamError as error:
            self._failures += 1
            if self.healthy:
                logger.warning("settlement waits", code=error.code, error=error.message)
            self.healthy, self.last_error = False, str(error)
        else:
            if not self.healthy:
                logger.info("settlement goes on", failures=self._failures)
            self.healthy, self.last_error, self._failures = True, "", 0

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
