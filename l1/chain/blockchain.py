"""The chain that the rest of the node talks to: executor and store kept in step, tags, and recent blocks decoded."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import rlp
from eth_hash.auto import keccak

from l1.chain.delegate_sets import DelegateSets
from l1.chain.genesis import Genesis, parse_genesis
from l1.chain.snapshot import Snapshot
from l1.chain.staking_view import staking_call
from l1.chain.store import BlockStore, StoreError
from l1.chain.system_contracts import check_contracts
from l1.consensus.certificate import footer, from_footer
from l1.consensus.delegates import DelegateSet
from l1.consensus.messages import Certificate
from l1.staking.parameters import Parameters as StakingParameters
from native import _native

SNAPSHOT_INTERVAL = 1_024
"""Blocks between two snapshots: a restart replays at most this many and the state history."""

_DECODED_BLOCKS = 512
_BENEFICIARY = 2  # of a header's fields (Yellow Paper §4.4)

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
        GenesisInvalid
            When the folder is new and the genesis' contracts are not those of its rules.
        """
        self._store = BlockStore(data_dir)
        try:
            self._genesis = self._agree(genesis)
            self._chain = self._open()
        except BaseException:
            self._store.close()
            raise
        self._sets = DelegateSets(self._genesis, self._store) if self._genesis.delegates else None
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

    @property
    def staking(self) -> StakingParameters | None:
        """Rules of staking and elections; None on a chain whose delegates never change."""
        return self._genesis.consensus.staking if self._genesis.consensus else None

    def delegates_at(self, height: int) -> DelegateSet:
        """The set that decides a block, from 1 to the one after next.

        Raises
        ------
        StoreError
            On a chain without delegates, and for an epoch that has not been polled.
        """
        if self._sets is None:
            raise StoreError("the genesis names no delegates")
        return self._sets.at(height)

    def beneficiaries(self, first: int, last: int) -> list[bytes]:
        """Who made the blocks of this chain from `first` to `last`, both included: 20 bytes each."""
        return [rlp.decode(header)[_BENEFICIARY] for header in self._store.headers(first, last)]

    def hash_of(self, number: int) -> bytes:
        """Hash of a block of this chain, 32 bytes. Raises StoreError when there is none."""
        headers = self._store.headers(number, number)
        if not headers:
            raise StoreError(f"block {number} is missing from the store")
        return bytes(keccak(headers[0]))

    def headers(self, first: int, last: int) -> list[bytes]:
        """RLP of headers that are here, ascending, both ends included."""
        return self._store.headers(first, last)

    @property
    def first_number(self) -> int:
        """The first block after block 0 that is here: 1, or that of the snapshot at which the chain began."""
        return self._store.first_number()

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

    def encoded_receipts(self, number: int) -> bytes | None:
        """A block's receipts as `native` encodes them."""
        return self._store.receipts(number)

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
        withdrawals: Sequence[tuple[int, int, bytes, int]] = (),
    ) -> _native.ExecutedBlock:
        """Execute transactions on the head without moving it; withdrawals (EIP-4895) are paid after them."""
        return self._chain.build(
            transactions,
            beneficiary=beneficiary,
            timestamp=timestamp,
            prev_randao=prev_randao,
            parent_beacon_block_root=parent_beacon_block_root,
            extra_data=extra_data,
            withdrawals=list(withdrawals),
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
        block, polled = executed.block, None
        if self._sets is not None and self._sets.polled_at(block.number):
            polled = self._sets.encoded_poll(block.number, staking_call(self._chain.view_of(executed)))
        self._store.append(block, executed.encoded_receipts, footer(certificate) if certificate else b"", polled)
        self._chain.append(executed)
        stored = StoredBlock(executed.block, executed.receipts)
        self._remember(stored)
        if stored.block.number % SNAPSHOT_INTERVAL == 0:
            self._snapshot(stored.block.number)
        return stored

    def adopt(self, snapshot: Snapshot) -> None:
        """Begin a new chain at a snapshot whose block is known to be this chain's. Announce nothing.

        Raises
        ------
        native._native.ExecutionRefused
            When the headers do not link, or the state is not the last header's.
        StoreError
            When the chain has blocks after block 0, or the state has no delegates for the next block.
        """
        if self.head_number:
            raise StoreError("only a new chain can begin at a snapshot")
        block = snapshot.block
        chain = self._chain.restore(list(snapshot.headers[-_native.STATE_HISTORY - 1 :]), snapshot.state)
        if chain.head_hash != block.hash:
            raise StoreError(f"the headers end with 0x{chain.head_hash.hex()}, not with the snapshot's block")
        sets, polls = self._sets, []
        if sets is not None and self.staking is not None:
            polls = sets.polls_of(block.number, staking_call(chain.view(block.number)))
        self._store.adopt(snapshot, polls)
        self._chain = chain

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
        if self._sets is not None:
            self._sets.forget()
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
            check_contracts(genesis, genesis.executor()[0].view(0))
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
        begins = self._store.first_number()
        begun = begins if begins > 1 else 0
        if snapshot := self._store.snapshot(max(begun, head - _native.STATE_HISTORY)):
            number, state = snapshot
            headers = self._store.headers(max(0, number - _native.STATE_HISTORY), number)
            try:
                chain = chain.restore(headers, state)
            except _native.ExecutionRefused as error:
                if begun:
                    raise StoreError(
                        f"the state of block {number} is damaged or another version's ({error}), and the blocks before "
                        "it are not here: choose another --data-dir, and begin at a snapshot again"
                    ) from error
                # Another version's, or a damaged one: every block is here, and gives the same state.
                log.warning("snapshot set aside", extra={"number": number, "reason": str(error), "blocks": head})
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
