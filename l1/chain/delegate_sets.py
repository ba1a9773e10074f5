"""Which delegates decide which block: the genesis' at first, then those of each epoch's poll.

A set is kept when the block with its poll is: the contract itself forgets polls, and a peer or a light client may ask for
any epoch's.
"""

from __future__ import annotations

from typing import Any

import rlp

from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import Genesis
from l1.chain.genesis_delegates import delegate_set
from l1.chain.store import BlockStore, StoreError
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.schedule import epoch_of
from l1.staking.contract import Call, read_seats


class DelegateSets:
    """The sets of one chain. Reads are safe from any thread."""

    def __init__(self, genesis: Genesis, store: BlockStore) -> None:
        self._first = delegate_set(genesis.delegates)
        self._rules = genesis.consensus or ConsensusRules()
        self._store = store
        self._known: dict[int, DelegateSet] = {}

    def at(self, height: int) -> DelegateSet:
        """The set that decides a block; it must be that of the next block or an earlier one.

        Raises
        ------
        StoreError
            When the height is of an epoch that has not been polled.
        """
        epoch = epoch_of(height, self._rules.parameters())
        if epoch <= 1 or self._rules.staking is None:
            return self._first
        if epoch not in self._known:
            encoded = self._store.delegates(epoch)
            if encoded is None:
                raise StoreError(f"the delegates of epoch {epoch} are not in the store")
            self._known[epoch] = _decode(encoded)
        return self._known[epoch]

    def polled_at(self, height: int) -> int | None:
        """The epoch whose delegates the block at this height puts; None for a block without a poll."""
        staking = self._rules.staking
        if staking is None or height < 1:
            return None
        epoch = staking.epoch_of(height)
        return epoch + 1 if height == staking.poll_height(epoch) else None

    def encoded_poll(self, height: int, call: Call) -> tuple[int, bytes] | None:
        """The set that a block's poll put, to be kept with the block: (epoch, encoded); None without a poll.

        Where nobody could be elected before there was a first poll, the genesis' delegates go on.

        Parameters
        ----------
        call
            The staking contract in the state after the block.
        """
        epoch = self.polled_at(height)
        if epoch is None:
            return None
        seats = read_seats(call, epoch)
        members = tuple(Delegate(each.operator, each.power, each.bls_key) for each in seats)
        return epoch, _encode(DelegateSet(members) if members else self._first)

    def polls_of(self, height: int, call: Call) -> list[tuple[int, int, bytes]]:
        """Every poll that later blocks may need: (epoch, number of the block with the poll, encoded).

        Parameters
        ----------
        call
            The staking contract in the state after the block at this height; it keeps the last two polls.
        """
        staking = self._rules.staking
        if staking is None:
            return []
        epoch = staking.epoch_of(height + 1)
        found = []
        for at in (staking.poll_height(each) for each in (epoch - 1, epoch) if each >= 1):
            if at <= height and (polled := self.encoded_poll(at, call)) is not None:
                found.append((polled[0], at, polled[1]))
        return found

    def forget(self) -> None:
        """Read the store again: blocks were dropped."""
        self._known.clear()


def _encode(delegates: DelegateSet) -> bytes:
    return bytes(rlp.encode([[each.address, each.power, each.key] for each in delegates.members]))


def _decode(encoded: bytes) -> DelegateSet:
    fields: list[list[Any]] = rlp.decode(encoded)
    return DelegateSet(tuple(Delegate(address, int.from_bytes(power), key) for address, power, key in fields))
