"""Parameter sets of Roll-DPoS: times of the phases by era, how a quorum is counted, who proposes.

Sources: iotex-core `consensus/consensusfsm/consensus_ttl.go`, genesis, IIP-42 (times), IIP-51 (quorum by power).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from l1.consensus.machine import Phase


class Pacing(StrEnum):
    """What a phase's deadline is counted from."""

    CLOCK = "clock"
    """From the start of the round, on a grid of the block interval that the clock alone gives (iotex-core)."""
    EVENT = "event"
    """From the moment the phase was entered, longer by every round (Tendermint, Algorithm 1, lines 20, 35 and 48)."""


class QuorumRule(StrEnum):
    """What more than two thirds are of."""

    POWER = "power"
    """The frozen voting power of the epoch's active set (IIP-51)."""
    COUNT = "count"
    """The number of delegates (before IIP-51)."""


@dataclass(frozen=True)
class Timing:
    """Times in milliseconds. The four phases fit into one interval."""

    interval: int
    """From the start of one block's first round to the start of the next block's at least."""
    accept_block_proposal: int
    """Wait for a proposal."""
    accept_proposal_endorsement: int
    """Wait for PROPOSAL votes."""
    accept_lock_endorsement: int
    """Wait for LOCK votes."""
    accept_precommit_endorsement: int
    """Wait for COMMIT votes."""
    pacing: Pacing = Pacing.CLOCK
    """What deadlines are counted from."""
    growth: int = 0
    """Percent by which every round makes the phases longer. Above 0 the chain lives on links slower than the times."""
    idle: int = 0
    """How much longer the first round waits for a proposal: its proposer may wait for transactions that long."""
    tolerated_overtime: int = 2_000
    """How late into a round a delegate may still join it (CLOCK only)."""
    resend: int = 0
    """Between two times that a delegate sends its newest votes again while nothing is decided; 0 is one interval."""

    def __post_init__(self) -> None:
        phases = [self.duration(phase) for phase in WAITING]
        if min(self.interval, *phases) <= 0:
            raise ValueError("the interval and every phase take at least one millisecond")
        if self.pacing is Pacing.CLOCK and sum(phases) > self.interval:
            raise ValueError(f"the phases take {sum(phases)} ms, more than the interval of {self.interval} ms")
        if min(self.growth, self.idle, self.tolerated_overtime, self.resend) < 0:
            raise ValueError("growth, idle, tolerated overtime and resend are not negative")

    def duration(self, phase: Phase) -> int:
        """How long a phase waits, in ms, in round 0 and without `idle`. Raises KeyError for a phase that does not."""
        return {
            Phase.ACCEPT_BLOCK_PROPOSAL: self.accept_block_proposal,
            Phase.ACCEPT_PROPOSAL_ENDORSEMENT: self.accept_proposal_endorsement,
            Phase.ACCEPT_LOCK_ENDORSEMENT: self.accept_lock_endorsement,
            Phase.ACCEPT_PRECOMMIT_ENDORSEMENT: self.accept_precommit_endorsement,
        }[phase]


WAITING = (
    Phase.ACCEPT_BLOCK_PROPOSAL,
    Phase.ACCEPT_PROPOSAL_ENDORSEMENT,
    Phase.ACCEPT_LOCK_ENDORSEMENT,
    Phase.ACCEPT_PRECOMMIT_ENDORSEMENT,
)
"""The phases that end by a deadline, in their order."""


@dataclass(frozen=True)
class Parameters:
    """One era of the protocol."""

    name: str
    """How the era is called."""
    timing: Timing
    """Times of its phases."""
    blocks_per_epoch: int
    """Heights that one delegate set decides; an hour's."""
    quorum_rule: QuorumRule = QuorumRule.POWER
    """How votes are counted."""
    epoch_relative_rotation: bool = True
    """Whether the proposer's index counts from the epoch's first height; else from the height itself (iotex-core)."""


GENESIS = Parameters("genesis", Timing(10_000, 4_000, 2_000, 2_000, 2_000), 360, QuorumRule.COUNT, False)
"""From the first block: 10 s."""
DARDANELLES = Parameters("dardanelles", Timing(5_000, 2_000, 1_000, 1_000, 1_000), 720, QuorumRule.COUNT, False)
"""From block 1,816,201: 5 s."""
WAKE = Parameters("wake", Timing(2_500, 800, 800, 450, 450), 1_440, QuorumRule.COUNT, False)
"""From block 36,893,881 (IIP-42): 2.5 s."""
IIP_51 = Parameters("iip-51", Timing(2_500, 800, 800, 450, 450, Pacing.EVENT, growth=50), 1_440)
"""Quorums by power, deadlines that grow with the round: the rule of a network of separate nodes."""
DEVNET = Parameters("devnet", Timing(250, 800, 800, 450, 450, Pacing.EVENT, growth=50, idle=5_000, resend=1_000), 1_440)
"""IIP_51 for an embedded chain: a block as soon as there is work, an empty one when there has been none for 5 s."""

ERAS = {each.name: each for each in (GENESIS, DARDANELLES, WAKE, IIP_51, DEVNET)}
"""The sets by name."""
