"""What staking knows at a height: buckets, candidates, the reward pool and the polls, as one value.

A `StakingState` is never changed: every operation returns another one. Addresses have 20 bytes; a candidate's identity is
the address of the owner who registered it. Amounts and votes are in rau.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from l1.staking.refusal import StakingRefused
from l1.staking.weight import votes_of

K = TypeVar("K")
V = TypeVar("V")

ENDORSED_UNTIL_NOTICE = 2**64 - 1
"""Height at which an endorsement without notice ends: never (staking/endorsement.go)."""

MAX_VOTES = 2**96 - 1
"""Most votes of a candidate, rau: the power of a seat is a number of 96 bits."""


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What an operation sees of the block that executes it."""

    height: int
    """Block number, from 1."""
    timestamp: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stake."""

    index: int
    """Its number, from 0."""
    owner: bytes
    """Who may unstake and withdraw it."""
    candidate: bytes
    """Identity of the candidate it votes for."""
    amount: int
    """Rau. Only slashing makes it smaller, at the least 0."""
    days: int
    """Duration."""
    auto_stake: bool
    """Whether the duration does not run down."""
    started_at: int
    """Unix seconds of its creation or last restake."""
    unstaked_at: int | None = None
    """Unix seconds; None while it votes."""
    endorsed_until: int | None = None
    """Height from which its endorsement of the candidate may be revoked; None without endorsement."""

    def votes(self, self_stake: bool) -> int:
        """Its votes, as the self-stake bucket of its candidate or not; 0 when unstaked."""
        if self.unstaked_at is not None:
            return 0
        return votes_of(self.amount, self.days, self.auto_stake, self_stake)

    def endorses(self, height: int) -> bool:
        """Whether its owner vouches for the candidate at this height."""
        return self.endorsed_until is not None and height < self.endorsed_until

    @property
    def matures_at(self) -> int:
        """Unix seconds from which it may be unstaked, if auto-stake is off."""
        return self.started_at + self.days * 86_400


@dataclass(frozen=True, slots=True)
class Exit:
    """A candidate's request to leave."""

    ticket: int
    """Place in the queue: requests are numbered in the order of execution, which is height, then transaction index."""
    leaves_at: int | None = None
    """First epoch without it; None while it waits to be admitted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who may be elected."""

    identity: bytes
    """The owner's address; also who may update, activate and leave."""
    operator: bytes
    """Who produces its blocks: their beneficiary."""
    reward: bytes
    """Who earns its rewards."""
    bls_key: bytes
    """48 bytes, compressed; empty where the parameters do not ask for one."""
    votes: int = 0
    """Sum of its buckets' votes."""
    self_stake_bucket: int | None = None
    """The bucket that vouches for its work and is slashed."""
    self_stake: int = 0
    """That bucket's amount."""
    disqualified: bool = False
    """Slashed below the least self-stake of an active candidate and not recovered."""
    exit: Exit | None = None
    """Its request to leave."""
    last_unproductive: int = 0
    """The last epoch it was unproductive in; 0 for none."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One delegate of an epoch, frozen when the epoch was polled."""

    candidate: bytes
    """Identity."""
    operator: bytes
    """Beneficiary of its blocks, and signer of their system calls."""
    power: int
    """Votes after probation: its weight in the finality rule (IIP-51)."""
    bls_key: bytes
    """48 bytes, compressed."""


@dataclass(frozen=True, slots=True)
class Poll:
    """What an epoch's poll froze."""

    epoch: int
    """The epoch that it is for."""
    seats: tuple[Seat, ...]
    """The active set in delegate order."""
    ranking: tuple[tuple[bytes, int], ...]
    """Identity and votes after probation of those who share the epoch reward, most votes first."""


_EMPTY: Mapping[bytes, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StakingState:
    """All of it. `total` is constant but for what an operation takes in or pays out."""

    buckets: Mapping[int, Bucket] = field(default_factory=lambda: MappingProxyType({}))
    """By number; withdrawn ones are gone."""
    candidates: Mapping[bytes, Candidate] = field(default_factory=lambda: MappingProxyType({}))
    """By identity; never removed."""
    operators: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Operator to identity."""
    bls_keys: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """BLS key to identity, of all keys ever registered: a key that was given up still convicts its owner."""
    unclaimed: Mapping[bytes, int] = field(default_factory=lambda: _EMPTY)
    """Rewards by account."""
    pool: int = 0
    """The reward pool."""
    next_bucket: int = 0
    """Number of the next bucket."""
    next_ticket: int = 0
    """Number of the next exit request."""
    exit_admitted: int | None = None
    """First epoch of the last admitted exit."""
    polls: Mapping[int, Poll] = field(default_factory=lambda: MappingProxyType({}))
    """The current epoch's and, from its middle on, the next one's."""
    ended_epoch: int = 0
    """The last epoch whose accounts are settled."""
    convictions: frozenset[bytes] = frozenset()
    """Offences that were punished: no one is punished twice for one (`evidence.offence_id`)."""

    @property
    def total(self) -> int:
        """Rau held: buckets, pool and unclaimed rewards."""
        return self.pool + sum(each.amount for each in self.buckets.values()) + sum(self.unclaimed.values())

    def bucket(self, index: int) -> Bucket:
        """Raises StakingRefused (BucketUnknown)."""
        found = self.buckets.get(index)
        if found is None:
            raise StakingRefused("BucketUnknown", f"there is no bucket {index}")
        return found

    def candidate(self, identity: bytes) -> Candidate:
        """Raises StakingRefused (CandidateUnknown)."""
        found = self.candidates.get(identity)
        if found is None:
            raise StakingRefused("CandidateUnknown", f"0x{identity.hex()} is no candidate")
        return found

    def is_self_stake(self, bucket: Bucket) -> bool:
        """Whether the bucket is the self-stake of its candidate."""
        return self.candidates[bucket.candidate].self_stake_bucket == bucket.index

    def with_bucket(self, bucket: Bucket) -> StakingState:
        """Put a bucket, and move its candidate's votes and self-stake along."""
        old = self.buckets.get(bucket.index)
        candidate = self.candidate(bucket.candidate)
        selfish = candidate.self_stake_bucket == bucket.index
        before = old.votes(selfish) if old else 0
        changed = replace(
            candidate,
            votes=candidate.votes - before + bucket.votes(selfish),
            self_stake=bucket.amount if selfish else candidate.self_stake,
        )
        return replace(self, buckets=put(self.buckets, bucket.index, bucket)).with_candidate(changed)

    def with_candidate(self, candidate: Candidate) -> StakingState:
        """Put a candidate. Raises StakingRefused (VotesTooLarge)."""
        if candidate.votes > MAX_VOTES:
            raise StakingRefused("VotesTooLarge", f"0x{candidate.identity.hex()} would have {candidate.votes} votes")
        return replace(self, candidates=put(self.candidates, candidate.identity, candidate))

    def with_self_stake(self, identity: bytes, index: int | None) -> StakingState:
        """Make a bucket of the candidate its self-stake, or none; votes follow the bonus."""
        candidate = self.candidate(identity)
        votes = candidate.votes
        if candidate.self_stake_bucket is not None:
            old = self.buckets[candidate.self_stake_bucket]
            votes += old.votes(False) - old.votes(True)
        amount = 0
        if index is not None:
            chosen = self.bucket(index)
            votes += chosen.votes(True) - chosen.votes(False)
            amount = chosen.amount
        return self.with_candidate(replace(candidate, votes=votes, self_stake_bucket=index, self_stake=amount))

    def with_reward(self, account: bytes, amount: int) -> StakingState:
        """Move `amount`, at most what is there, from the pool to an account's unclaimed rewards."""
        paid = min(amount, self.pool)
        if paid <= 0:
            return self
        owed = self.unclaimed.get(account, 0) + paid
        return replace(self, pool=self.pool - paid, unclaimed=put(self.unclaimed, account, owed))


def put(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """A copy with one entry set."""
    copy = dict(mapping)
    copy[key] = value
    return MappingProxyType(copy)


def without(mapping: Mapping[K, V], key: K) -> Mapping[K, V]:
    """A copy without one entry."""
    copy = dict(mapping)
    del copy[key]
    return MappingProxyType(copy)
