"""Every constant of staking and election, and the named sets of them. Amounts are in rau, 10^-18 IOTX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

IOTX = 10**18
"""Rau in one IOTX."""

DAY = 86_400
"""Seconds; bucket durations count days of this length."""


class Selection(Enum):
    """How the active delegates are picked from the ranked candidates."""

    HASH_OF_TOP = "hash-of-top"
    """The first `active_delegates` by hash key of the first `consensus_candidates` by votes (iotex-core, slasher.go)."""
    WEIGHTED = "weighted"
    """C(Q) of all Q, drawn by votes without replacement (IIP-53)."""


class Seed(Enum):
    """What delegate order and draws are seeded with."""

    CONSTANT = "constant"
    """The eight bytes that iotex-core compiles in (crypto/cryptosort.go)."""
    FINALIZED_HASH = "finalized-hash"
    """The hash of the last block two epochs before: final when the poll is taken, and out of reach of its last blocks."""


class Rotation(Enum):
    """Which height's proposer comes first in the delegate order."""

    ABSOLUTE = "absolute"
    """(height + round) % C: mainnet (roundcalculator.go with timeBasedRotation)."""
    EPOCH = "epoch"
    """(height - first height of the epoch + round) % C: does not jump when C changes."""


class ExitOrder(Enum):
    """Who of the waiting candidates leaves first, and whether it serves until then."""

    FIFO_SERVING = "fifo-serving"
    """IIP-53: in the order of requests; may be cancelled before it is admitted; serves to the end of its exit."""
    VOTES_IDLE = "votes-idle"
    """IIP-61 as iotex-core has it: most votes first; never cancelled; out of the next poll once it is admitted."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """One era's constants. Every node of a chain must have the same."""

    blocks_per_epoch: int = 1_440
    """One hour of 2.5 s blocks (IIP-42, Wake)."""
    registration_fee: int = 100 * IOTX
    """Into the reward pool (genesis `registrationConsts.fee`)."""
    register_self_stake: int = 400_000 * IOTX
    """Least self-stake to register, to be endorsed, and to recover from disqualification (IIP-53; 1.2 M before)."""
    active_self_stake: int = 333_333 * IOTX
    """Least self-stake to stay: IIP-50's ratio of 1.0 M to 1.2 M, applied to IIP-53's 0.4 M."""
    active_votes: int = 2_000_000 * IOTX
    """Least votes to be elected (genesis `scoreThreshold`; IIP-53)."""
    recovery_hysteresis: bool = True
    """Who was slashed below `active_self_stake` needs `register_self_stake` again (IIP-50's text). Off: only the former
    is tested (iotex-core, `isActiveCandidate`)."""
    min_bucket: int = 100 * IOTX
    """Least amount of a bucket (genesis `minStakeAmount`)."""
    max_days: int = 1_050
    """Longest duration of a bucket (staking/validations.go)."""
    withdraw_wait: int = 3 * DAY
    """Seconds from unstaking to withdrawal (genesis `withdrawWaitingPeriod`)."""
    endorsement_wait: int = 17_280
    """Blocks from the notice to the end of an endorsement that is in use (genesis `endorsementWithdrawWaitingBlocks`)."""

    require_bls_key: bool = True
    """Candidates register a proven BLS key (IIP-52)."""
    selection: Selection = Selection.WEIGHTED
    """IIP-53."""
    seed: Seed = Seed.FINALIZED_HASH
    """See `Seed`."""
    rotation: Rotation = Rotation.EPOCH
    """See `Rotation`."""
    consensus_candidates: int = 36
    """Candidates whom HASH_OF_TOP picks from (genesis `numCandidateDelegates`)."""
    active_delegates: int = 24
    """Delegates of HASH_OF_TOP (genesis `numDelegates`), and the least of WEIGHTED (IIP-53)."""
    max_delegates: int = 144
    """C_max (IIP-53); raised to it in stages on a real network."""
    delegate_step: int = 12
    """The active set grows in steps of this many (IIP-53)."""

    productivity_threshold: int = 85
    """Per cent of its expected blocks below which a delegate is unproductive (genesis `productivityThreshold`)."""
    probation_epochs: int = 6
    """Epochs that one unproductive epoch counts (genesis `probationEpochPeriod`)."""
    probation_intensity: int = 90
    """Per cent of its votes that a candidate on probation loses in the poll (genesis `probationIntensityRate`)."""
    slash_unproductive: bool = True
    """IIP-50, live since Xingu."""
    slash_per_block: int = 4 * IOTX
    """Penalty of one missed block: the block reward (IIP-50)."""
    equivocation_slash_share: int = 0
    """Ten-thousandths of the self-stake that proven equivocation costs. Off: no proposal has it."""

    block_reward: int = 4 * IOTX
    """For each produced block (Wake; 8 and 16 before)."""
    epoch_reward: int = 18_750 * IOTX
    """Split by votes in each epoch (genesis `aleutianEpochReward`)."""
    epoch_reward_delegates: int = 100
    """Candidates who share it (genesis `numDelegatesForEpochReward`)."""
    epoch_reward_exempt: frozenset[bytes] = frozenset()
    """Candidates who do not (genesis `exemptAddrStrsFromEpochReward` names 36 of mainnet)."""

    exit_order: ExitOrder = ExitOrder.FIFO_SERVING
    """See `ExitOrder`."""
    exit_epochs: int = 24
    """Epochs of one exit; nobody else is admitted meanwhile (IIP-53, IIP-61)."""

    def epoch_of(self, height: int) -> int:
        """The epoch of a block, from 1. Block 0 is the genesis and in none.

        Raises
        ------
        ValueError
            For a height below 1.
        """
        if height < 1:
            raise ValueError(f"height {height} is in no epoch")
        return (height - 1) // self.blocks_per_epoch + 1

    def first_height(self, epoch: int) -> int:
        """The first block of an epoch, which is from 1."""
        return (epoch - 1) * self.blocks_per_epoch + 1

    def last_height(self, epoch: int) -> int:
        """The last block of an epoch: it ends the epoch's accounts."""
        return epoch * self.blocks_per_epoch

    def poll_height(self, epoch: int) -> int:
        """The block in the middle of an epoch that polls the next one (poll/util.go: start + half)."""
        return self.first_height(epoch) + self.blocks_per_epoch // 2


IIP_53 = Parameters()
"""Ours: IIP-50 to IIP-53 in force."""

WAKE = replace(
    IIP_53,
    register_self_stake=1_200_000 * IOTX,
    active_self_stake=1_200_000 * IOTX,
    recovery_hysteresis=False,
    require_bls_key=False,
    selection=Selection.HASH_OF_TOP,
    seed=Seed.CONSTANT,
    rotation=Rotation.ABSOLUTE,
    slash_unproductive=False,
    exit_order=ExitOrder.VOTES_IDLE,
)
"""Mainnet from Wake (36,893,881) until Xingu: no slashing, one threshold."""

IIP_50 = replace(
    WAKE,
    active_self_stake=1_000_000 * IOTX,
    slash_unproductive=True,
)
"""Mainnet of today: slashing since Xingu (41,648,761), IIP-61's exits since Yap (48,985,561)."""
