"""The chain that the rest of the node talks to: executor and store kept in step, tags, and recent blocks decoded."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from l1.chain.genesis import Genesis, parse_genesis
from l1.chain.store import BlockStore, StoreError
from l1.consensus.certificate import footer, from_footer
from l1.consensus.messages import Certificate
from native import _native

SNAPSHOT_INTERVAL = 1_024
"""Blocks between two snapshots: a restart replays at most this many and the state history."""

_DECODED_BLOCKS = 512

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredBlock:
    """A block with its receipts."""

    block: _native.Block
    """Header and transactions."""
    receipts: list[_native.Receipt]
    """One for each transaction."""


@dataclass(frozen=True)
class Finality:
    """How far the chain is final, and by what."""

    source: str
    """`bls`: the certificate of two thirds of the delegates' power. `single-producer`: one producer's word."""
    safe: int
    """Number of the newest safe block."""
    finalized: int
    """Number of the newest final block."""


class Blockchain:
    """Executor and store of one chain. Reads are safe from any thread; one caller at a time may change the head."""

    def __init__(self, data_dir: Path, genesis: Genesis | None, *, finality_depth: int = 0) -> None:
        """Open the chain in `data_dir`, or start it from `genesis`.

        Raises
        ------
        StoreError
            When the folder is in use, holds another chain than `genesis`, is new and `genesis` is `None`, or a stored
            block does not re-execute to its own roots.
        """
        self._store = BlockStore(data_dir)
        try:
            self._genesis = self._agree(genesis)
            self._chain = self._open()
        except BaseException:
            self._store.close()
            raise
        self._finality_depth = finality_depth
        self._decoded: OrderedDict[int, StoredBlock] = OrderedDict()
        self._listeners: list[Callable[[StoredBlock], None]] = []

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self._chain.chain_id

    @property
    def head_number(self) -> int:
        """Number of the newest block."""
        return self._chain.head_number

    @property
    def head_hash(self) -> bytes:
        """Hash of the newest block."""
        return self._chain.head_hash

    @property
    def head(self) -> StoredBlock:
        """The newest block."""
        return self._require(self.head_number)

    @property
    def gas_limit(self) -> int:
        """Gas limit of every block."""
        return self._genesis.gas_limit

    @property
    def next_base_fee(self) -> int:
        """Base fee of the next block, wei per gas."""
        return self._chain.next_base_fee

    @property
    def finality(self) -> Finality:
        """What counts as final now."""
        final = max(0, self.head_number - self._finality_depth)
        return Finality("bls" if self._genesis.delegates else "single-producer", safe=final, finalized=final)

    @property
    def genesis(self) -> Genesis:
        """What the chain started from."""
        return self._genesis

    def footer(self, number: int) -> bytes | None:
        """What decided a block, as the light client takes it; None where `certificate` is None."""
        return self._store.footer(number)

    def certificate(self, number: int) -> Certificate | None:
        """The certificate that decided a block; None for block 0, and for one that a single producer made."""
        raw, stored = self.footer(number), self.block(number)
        return None if raw is None or stored is None else from_footer(raw, number, stored.block.hash)

    def view(self, number: int) -> _native.StateView:
        """The state after a recent block. Raises `native._native.StateNotAvailable` for an old one."""
        return self._chain.view(number)

    def view_of(self, executed: _native.ExecutedBlock) -> _native.StateView:
        """The state after a block that was built on the head and not committed."""
        return self._chain.view_of(executed)

    def block(self, number: int) -> StoredBlock | None:
        """A block and its receipts."""
        if found := self._decoded.get(number):
            return found
        raw, receipts = self._store.block(number), self._store.receipts(number)
        if raw is None or receipts is None:
            return None
        stored = StoredBlock(_native.Block.decode(raw), _native.decode_receipts(receipts))
        self._remember(stored)
        return stored

    def number_of(self, block_hash: bytes) -> int | None:
        """Number of the block with this hash."""
        return self._store.number_of(block_hash)

    def position_of(self, transaction_hash: bytes) -> tuple[int, int] | None:
        """(block number, index in the block) of a mined transaction."""
        return self._store.position_of(transaction_hash)

    def blooms(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """(number, logs bloom) of the blocks that have logs, both ends included."""
        return list(self._store.blooms(first, last))

    def build(
        self,
        transactions: list[_native.Transaction],
        *,
        beneficiary: bytes,
        timestamp: int,
        prev_randao: bytes,
        parent_beacon_block_root: bytes = bytes(32),
        extra_data: bytes = b"",
    ) -> _native.ExecutedBlock:
        """Execute transactions on the head without moving it."""
        return self._chain.build(
            transactions,
            beneficiary=beneficiary,
            timestamp=timestamp,
            prev_randao=prev_randao,
            parent_beacon_block_root=parent_beacon_block_root,
            extra_data=extra_data,
        )

    def import_block(self, raw: bytes) -> _native.ExecutedBlock:
        """Re-execute a block on the head and compare every root; `commit` makes it the head.

        Raises
        ------
        native._native.ExecutionRefused
            When it is malformed, not on the head, or any header field differs from the rules'.
        """
        return self._chain.import_block(raw)

    def commit(self, executed: _native.ExecutedBlock, certificate: Certificate | None = None) -> StoredBlock:
        """Write a block to disk with what decided it, then make it the head. Announce it only after this returns.

        Raises
        ------
        StoreError, native._native.ExecutionRefused
            When it does not follow the head.
        """
        self._store.append(executed.block, executed.encoded_receipts, footer(certificate) if certificate else b"")
        self._chain.append(executed)
        stored = StoredBlock(executed.block, executed.receipts)
        self._remember(stored)
        if stored.block.number % SNAPSHOT_INTERVAL == 0:
            self._snapshot(stored.block.number)
        return stored

    def announce(self, stored: StoredBlock) -> None:
        """Tell every subscriber of a committed block, in the caller's thread."""
        for listener in self._listeners:
            listener(stored)

    def subscribe(self, listener: Callable[[StoredBlock], None]) -> None:
        """Have `listener` called with every announced block."""
        self._listeners.append(listener)

    def rollback(self, number: int) -> None:
        """Drop every block above `number`, on disk too (consensus abandons unfinalised heads with it).

        Raises
        ------
        native._native.StateNotAvailable
            When that block's state is no longer kept.
        """
        self._chain.view(number)
        self._store.truncate(number)
        self._chain.rollback(number)
        for dropped in [kept for kept in self._decoded if kept > number]:
            del self._decoded[dropped]

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _agree(self, genesis: Genesis | None) -> Genesis:
        stored = self._store.meta("genesis")
        if stored is None:
            if genesis is None:
                raise StoreError("the data folder is new: name a genesis file (--genesis)")
            self._store.set_meta("genesis", genesis.to_json())
            return genesis
        known = parse_genesis(json.loads(stored))
        if genesis is None or genesis == known:
            return known
        if not genesis.same_until(known, self._store.head_number() or 0):
            raise StoreError("the data folder holds a chain with another genesis: choose another --data-dir")
        self._store.set_meta("genesis", genesis.to_json())
        return genesis

    def _open(self) -> _native.Chain:
        head = self._store.head_number()
        chain, first = self._genesis.executor()
        if head is None:
            self._store.append(first, b"\xc0")
            return chain
        if self._store.number_of(first.hash) != 0:
            raise StoreError("block 0 in the data folder is not the genesis block of this program's rules")
        if snapshot := self._store.snapshot(head - _native.STATE_HISTORY):
            number, state = snapshot
            headers = self._store.headers(max(0, number - _native.STATE_HISTORY), number)
            chain = chain.restore(headers, state)
        for number in range(chain.head_number + 1, head + 1):
            try:
                chain.append(chain.import_block(self._store.block(number) or b""))
            except _native.ExecutionRefused as error:
                raise StoreError(f"stored block {number} is damaged: {error}") from error
        log.info("chain restored", extra={"head": head})
        return chain

    def _snapshot(self, number: int) -> None:
        state = self._chain.view(number).snapshot()
        self._store.save_snapshot(number, state, keep_from=number - _native.STATE_HISTORY)

    def _remember(self, stored: StoredBlock) -> None:
        self._decoded[stored.block.number] = stored
        while len(self._decoded) > _DECODED_BLOCKS:
            self._decoded.popitem(last=False)

    def _require(self, number: int) -> StoredBlock:
        stored = self.block(number)
        if stored is None:
            raise StoreError(f"block {number} is missing from the store")
        return stored
