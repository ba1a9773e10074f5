"""Building a block; and one block producer for chains without delegates: blocks when there is work, and a slow pulse
when there is none."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from l1.chain.blockchain import Blockchain, StoredBlock
from l1.chain.duties import Duties
from l1.chain.mempool import Mempool
from native import _native

MAX_OFFERED = 10_000
"""Transactions offered to one block; more than a block of 60 million gas can take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProducerSettings:
    """When blocks are made and who gets the tips."""

    min_interval: float = 0.25
    """Seconds between two blocks at least."""
    idle_interval: float = 5.0
    """Seconds after which an empty block is made."""
    beneficiary: bytes = bytes(20)
    """Receiver of the tips, 20 bytes."""


def build_block(
    chain: Blockchain, offered: list[_native.Transaction], beneficiary: bytes, now: int, due: Duties | None = None
) -> _native.ExecutedBlock:
    """Execute waiting transactions on the head, which does not move.

    Parameters
    ----------
    offered
        `Mempool.executable` for `Blockchain.next_base_fee`; the block's `outcomes` are in this order.
    now
        Unix seconds. The block's timestamp is `max(parent's, now)`: several blocks may share a second.
    due
        What the block must contain on a chain with delegates; its system calls are the first of `offered`.
    """
    due = due or Duties(b"")
    head = chain.head.block
    return chain.build(
        offered,
        beneficiary=beneficiary,
        timestamp=max(head.timestamp, now),
        # No beacon gives randomness: the parent's hash is what everybody can recompute, and is no secret.
        prev_randao=head.hash,
        extra_data=due.extra_data,
        withdrawals=due.withdrawals,
    )


def drop_refused(mempool: Mempool, offered: Sequence[_native.Transaction], outcomes: Sequence[str | None]) -> None:
    """Take out of the mempool what could not be executed.

    Parameters
    ----------
    outcomes
        `ExecutedBlock.outcomes` of these transactions.
    """
    for transaction, outcome in zip(offered, outcomes, strict=True):
        if outcome:
            log.info("transaction dropped", extra={"hash": transaction.hash.hex(), "reason": outcome})
            mempool.remove(transaction.hash)


class Producer:
    """Makes blocks on one event loop."""

    def __init__(self, chain: Blockchain, mempool: Mempool, settings: ProducerSettings) -> None:
        self._chain = chain
        self._mempool = mempool
        self._settings = settings
        self._work = asyncio.Event()

    def wake(self) -> None:
        """Say that the mempool changed."""
        self._work.set()

    async def run(self) -> None:
        """Make blocks until cancelled. A block that was begun is finished and announced first."""
        last = time.monotonic() - self._settings.min_interval
        while True:
            idle_left = last + self._settings.idle_interval - time.monotonic()
            try:
                await asyncio.wait_for(self._work.wait(), timeout=max(0.0, idle_left))
                await asyncio.sleep(max(0.0, last + self._settings.min_interval - time.monotonic()))
            except TimeoutError:
                log.debug("idle: an empty block is due")
            self._work.clear()
            idle_over = time.monotonic() - last >= self._settings.idle_interval
            step = asyncio.ensure_future(self._step(even_if_empty=idle_over))
            try:
                made = await asyncio.shield(step)
            except asyncio.CancelledError:
                await step
                raise
            if made is not None:
                last = time.monotonic()

    async def _step(self, *, even_if_empty: bool) -> StoredBlock | None:
        offered = self._mempool.executable(self._chain.next_base_fee, MAX_OFFERED)
        if not offered and not even_if_empty:
            return None
        beneficiary = self._settings.beneficiary
        executed = await asyncio.to_thread(build_block, self._chain, offered, beneficiary, int(time.time()))
        drop_refused(self._mempool, offered, executed.outcomes)
        if not executed.block.transactions and not even_if_empty:
            return None
        stored = await asyncio.to_thread(self._chain.commit, executed)
        self._mempool.advance(stored.block.transactions, self._chain.view(stored.block.number))
        self._chain.announce(stored)
        if self._mempool.status()[0]:
            self._work.set()
        return stored
