"""The active set of an epoch: who votes, with what power, and what a quorum of it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import rlp
from eth_hash.auto import keccak

from l1.consensus.parameters import QuorumRule

ADDRESS_BYTES = 20
KEY_BYTES = 48
MAX_DELEGATES = 1_024
"""More than any set has (IIP-53: 144); bounds what a bitmap may name."""


class DelegateSetError(ValueError):
    """A set that cannot decide anything: empty, too large, a delegate twice, a key twice, or a power below 1."""


class Delegate(NamedTuple):
    """A member of the active set."""

    address: bytes
    """Operator's address, 20 bytes."""
    power: int
    """Votes frozen for the epoch (rau; IIP-51), 1 or more."""
    key: bytes
    """BLS12-381 public key, 48 bytes compressed, its possession proven at registration (IIP-52)."""


@dataclass(frozen=True)
class DelegateSet:
    """Delegates in the epoch's order. A vote names its delegate by the index in it."""

    members: tuple[Delegate, ...]
    """In proposer order."""
    rule: QuorumRule = QuorumRule.POWER
    """What two thirds are of."""
    configured: int = 0
    """Number of seats that a quorum by COUNT is of, also when fewer are taken (iotex-core `roundctx.go`); 0 is all."""
    powers: tuple[int, ...] = field(init=False)
    """What each member's vote counts."""
    total: int = field(init=False)
    """What all votes count together."""
    quorum: int = field(init=False)
    """The least sum that is strictly more than two thirds of `total`."""
    third: int = field(init=False)
    """The least sum that is strictly more than a third of `total`: at least one honest delegate is among its voters."""

    def __post_init__(self) -> None:
        """Raises DelegateSetError."""
        members = self.members
        if not 1 <= len(members) <= MAX_DELEGATES:
            raise DelegateSetError(f"{len(members)} delegates; a set has 1 to {MAX_DELEGATES}")
        for delegate in members:
            if len(delegate.address) != ADDRESS_BYTES or len(delegate.key) != KEY_BYTES:
                raise DelegateSetError("an address has 20 bytes and a key 48")
            if delegate.power < 1:
                raise DelegateSetError(f"delegate 0x{delegate.address.hex()} has power {delegate.power}; at least 1")
        if len({delegate.address for delegate in members}) < len(members):
            raise DelegateSetError("a delegate is twice in the set")
        if len({delegate.key for delegate in members}) < len(members):
            raise DelegateSetError("two delegates have one key")
        counted = self.rule is QuorumRule.COUNT
        powers = tuple(1 if counted else delegate.power for delegate in members)
        total = max(self.configured, len(members)) if counted else sum(powers)
        object.__setattr__(self, "powers", powers)
        object.__setattr__(self, "total", total)
        object.__setattr__(self, "quorum", 2 * total // 3 + 1)
        object.__setattr__(self, "third", total // 3 + 1)

    def __len__(self) -> int:
        return len(self.members)

    def index_of(self, address: bytes) -> int | None:
        """The index of the delegate with this operator address; None for nobody's."""
        return next((index for index, each in enumerate(self.members) if each.address == address), None)

    def power_of(self, signers: Iterable[int]) -> int:
        """What the votes of these distinct members count together."""
        return sum(self.powers[index] for index in signers)

    def root(self) -> bytes:
        """What a header commits to: keccak256 of the RLP list of [address, power, key], 32 bytes."""
        fields = [
            [each.address, each.power.to_bytes((each.power.bit_length() + 7) // 8), each.key] for each in self.members
        ]
        return bytes(keccak(rlp.encode(fields)))
