"""The consensus of one height as one pure function, `apply(state, info, input) -> transition`.

Rules:
1. Every transition stands in `RULES`; the first whose input, phases and guard fit is taken, and where none fits nothing
   happens. There is no transition anywhere else.
2. Line numbers (L22, ...) are those of Algorithm 1 in E. Buchman, J. Kwon and Z. Milosevic, "The latest gossip on BFT
   consensus", arXiv:1807.04938v3. Phases are those of iotex-core `consensusfsm/fsm.go`. A PROPOSAL vote is the paper's
   PREVOTE, a LOCK vote its PRECOMMIT; the COMMIT vote comes on top, and the paper's decision is what it testifies to.
3. While locked on a block, a delegate endorses only that block, or one for which a quorum of PROPOSAL votes of the
   lock's round or a later one is shown (L22, L28). A quorum for nil unlocks nothing: a locked delegate votes nil itself
   when a proposal is late.
4. A delegate casts COMMIT for one block a height, in whatever rounds. An honest one is never kept from deciding by that
   as long as less than a third of the power is faulty, since its COMMIT rests on a quorum of LOCK votes. So two COMMIT
   votes of one delegate for two blocks of one height convict it, whatever their rounds.

The caller (`driver`) promises: what it hands in is verified, a quorum is of one round and one topic, a quorum for a
block is handed in when that block is known and valid, and a fact that fitted no rule is handed in again after the
state has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar

NIL: Final = bytes(32)
"""The hash that stands for no block."""
NO_ROUND: Final = -1
"""The round of a lock that there is not."""


class Phase(IntEnum):
    """Where a delegate is in a round."""

    PREPARE = 0
    """Before the round's start."""
    ACCEPT_BLOCK_PROPOSAL = 1
    """Waits for the proposer's block (L20)."""
    ACCEPT_PROPOSAL_ENDORSEMENT = 2
    """Has cast PROPOSAL (L27)."""
    ACCEPT_LOCK_ENDORSEMENT = 3
    """Has cast LOCK (L41)."""
    ACCEPT_PRECOMMIT_ENDORSEMENT = 4
    """Has cast COMMIT."""
    DECIDED = 5
    """The height is over (L51)."""


class Topic(IntEnum):
    """What a vote says of its block."""

    PROPOSAL = 0
    """The block is valid and may be locked; for nil: no block may (PREVOTE)."""
    LOCK = 1
    """A quorum endorsed the block and this delegate is locked on it; for nil: none did in time (PRECOMMIT)."""
    COMMIT = 2
    """A quorum is locked on the block in this round."""


class State(NamedTuple):
    """What a delegate remembers of a height (L1 to L9)."""

    height: int
    """The height that is decided."""
    round: int = NO_ROUND
    """The round that the delegate is in."""
    phase: Phase = Phase.PREPARE
    """Where in it."""
    locked_round: int = NO_ROUND
    """lockedRound."""
    locked_hash: bytes = NIL
    """lockedValue."""
    valid_round: int = NO_ROUND
    """validRound: the newest round with a quorum of PROPOSAL votes for a block."""
    valid_hash: bytes = NIL
    """validValue: that block."""
    committed_round: int = NO_ROUND
    """The newest round in which COMMIT was cast."""
    committed_hash: bytes = NIL
    """The one block that COMMIT was cast for (rule 4)."""


class Info(NamedTuple):
    """What the state machine may know of the world besides its input."""

    proposer: bool = False
    """Whether this delegate proposes in the round of the input."""


class RoundStarted(NamedTuple):
    """A round's time has come, or a third of the power is in it already (L11, L55)."""

    round: int
    """The round."""


class ProposalSeen(NamedTuple):
    """The round's proposer has proposed (L22, L28)."""

    round: int
    """The round that it is proposed in."""
    block_hash: bytes
    """The block."""
    valid: bool
    """Whether the block is one that may follow the chain's head."""
    valid_round: int = NO_ROUND
    """The round whose quorum of PROPOSAL votes for the block was shown; NO_ROUND for none."""


class QuorumSeen(NamedTuple):
    """More than two thirds of the power voted alike."""

    topic: Topic
    """On what."""
    round: int
    """In which round."""
    block_hash: bytes
    """For which block, or NIL."""


class TimedOut(NamedTuple):
    """A phase lasted too long (L57, L61, L65)."""

    phase: Phase
    """The phase."""
    round: int
    """Its round."""


Input = RoundStarted | ProposalSeen | QuorumSeen | TimedOut
In = TypeVar("In", RoundStarted, ProposalSeen, QuorumSeen, TimedOut)


class Propose(NamedTuple):
    """Propose in this round: the block of `valid_round`, or a fresh one where that is NO_ROUND (L15 to L19)."""

    round: int
    block_hash: bytes
    valid_round: int


class Cast(NamedTuple):
    """Sign this vote and send it."""

    topic: Topic
    round: int
    block_hash: bytes


class Schedule(NamedTuple):
    """Say `TimedOut` when this phase has lasted its time (L21, L35, L48)."""

    phase: Phase
    round: int


class NextRound(NamedTuple):
    """Say `RoundStarted` when this round's time comes (L67)."""

    round: int


class Decide(NamedTuple):
    """The block is final (L51)."""

    round: int
    block_hash: bytes


Output = Propose | Cast | Schedule | NextRound | Decide


class Transition(NamedTuple):
    """The state after an input, and what is to be done, in this order."""

    state: State
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Rule(Generic[In]):
    """One row of the table."""

    lines: str
    """Lines of Algorithm 1, or the rule of this file's head."""
    what: str
    """The row in words."""
    phases: frozenset[Phase]
    """Phases that it applies in."""
    guard: Callable[[State, Info, In], bool]
    """Whether it applies."""
    effect: Callable[[State, Info, In], Transition]
    """What happens."""


_OPEN: Final = frozenset(Phase) - {Phase.DECIDED}
_BLOCK: Final = frozenset({Phase.ACCEPT_BLOCK_PROPOSAL})
_PROPOSAL: Final = frozenset({Phase.ACCEPT_PROPOSAL_ENDORSEMENT})
_AFTER_PROPOSAL: Final = frozenset({Phase.ACCEPT_LOCK_ENDORSEMENT, Phase.ACCEPT_PRECOMMIT_ENDORSEMENT})


def _start(state: State, info: Info, started: RoundStarted) -> Transition:
    after = state._replace(round=started.round, phase=Phase.ACCEPT_BLOCK_PROPOSAL)
    wait = Schedule(Phase.ACCEPT_BLOCK_PROPOSAL, started.round)
    if not info.proposer:
        return Transition(after, (wait,))
    return Transition(after, (wait, Propose(started.round, state.valid_hash, state.valid_round)))


def _may_endorse(state: State, seen: ProposalSeen) -> bool:
    """L23 and L29: the block is valid, and the lock allows it."""
    if not seen.valid or seen.block_hash == NIL:
        return False
    unlocked = state.locked_round == NO_ROUND or state.locked_hash == seen.block_hash
    return unlocked or NO_ROUND < state.locked_round <= seen.valid_round


def _endorse(state: State, info: Info, seen: ProposalSeen) -> Transition:
    block_hash = seen.block_hash if _may_endorse(state, seen) else NIL
    return _cast_proposal(state, block_hash)


def _cast_proposal(state: State, block_hash: bytes) -> Transition:
    phase = Phase.ACCEPT_PROPOSAL_ENDORSEMENT
    outputs = (Cast(Topic.PROPOSAL, state.round, block_hash), Schedule(phase, state.round))
    return Transition(state._replace(phase=phase), outputs)


def _lock(state: State, info: Info, quorum: QuorumSeen) -> Transition:
    phase = Phase.ACCEPT_LOCK_ENDORSEMENT
    after = state._replace(
        phase=phase,
        locked_round=quorum.round,
        locked_hash=quorum.block_hash,
        valid_round=quorum.round,
        valid_hash=quorum.block_hash,
    )
    return Transition(after, (Cast(Topic.LOCK, quorum.round, quorum.block_hash), Schedule(phase, quorum.round)))


def _endorse_nothing(state: State, info: Info, _: TimedOut) -> Transition:
    return _cast_proposal(state, NIL)


def _is_endorsed_later(state: State, info: Info, quorum: QuorumSeen) -> bool:
    in_time = state.valid_round < quorum.round <= state.round
    return quorum.topic == Topic.PROPOSAL and quorum.block_hash != NIL and in_time


def _remember(state: State, info: Info, quorum: QuorumSeen) -> Transition:
    return Transition(state._replace(valid_round=quorum.round, valid_hash=quorum.block_hash))


def _lock_nothing(state: State, info: Info, _: Input) -> Transition:
    phase = Phase.ACCEPT_LOCK_ENDORSEMENT
    return Transition(state._replace(phase=phase), (Cast(Topic.LOCK, state.round, NIL), Schedule(phase, state.round)))


def _commit(state: State, info: Info, quorum: QuorumSeen) -> Transition:
    after = state._replace(committed_round=quorum.round, committed_hash=quorum.block_hash)
    if quorum.round >= state.locked_round:
        after = after._replace(locked_round=quorum.round, locked_hash=quorum.block_hash)
    if quorum.round >= state.valid_round:
        after = after._replace(valid_round=quorum.round, valid_hash=quorum.block_hash)
    cast = Cast(Topic.COMMIT, quorum.round, quorum.block_hash)
    if quorum.round != state.round:
        return Transition(after, (cast,))
    phase = Phase.ACCEPT_PRECOMMIT_ENDORSEMENT
    return Transition(after._replace(phase=phase), (cast, Schedule(phase, state.round)))


def _may_commit(state: State, info: Info, quorum: QuorumSeen) -> bool:
    """Rule 4; and no lock of a later round on another block, which only a third of faulty power could bring about."""
    return (
        quorum.topic == Topic.LOCK
        and quorum.block_hash != NIL
        and state.committed_round < quorum.round <= state.round
        and state.committed_hash in (NIL, quorum.block_hash)
        and (state.locked_round <= quorum.round or state.locked_hash == quorum.block_hash)
    )


def _next_round(state: State, info: Info, _: Input) -> Transition:
    return Transition(state._replace(phase=Phase.PREPARE), (NextRound(state.round + 1),))


def _decide(state: State, info: Info, quorum: QuorumSeen) -> Transition:
    return Transition(state._replace(phase=Phase.DECIDED), (Decide(quorum.round, quorum.block_hash),))


def _quorum(topic: Topic, *, for_block: bool) -> Callable[[State, Info, QuorumSeen], bool]:
    def guard(state: State, info: Info, quorum: QuorumSeen) -> bool:
        same = quorum.topic == topic and quorum.round == state.round
        return same and (quorum.block_hash != NIL) is for_block

    return guard


def _is_over(state: State, info: Info, ended: TimedOut) -> bool:
    return ended.phase == state.phase and ended.round == state.round


_ON_ROUND_STARTED: Final[tuple[Rule[RoundStarted], ...]] = (
    Rule(
        "L11-L21, L55-L56",
        "a later round begins; its proposer proposes",
        _OPEN,
        lambda state, info, started: started.round > state.round,
        _start,
    ),
)
_ON_PROPOSAL_SEEN: Final[tuple[Rule[ProposalSeen], ...]] = (
    Rule(
        "L22-L33",
        "endorse the block if it is valid and the lock allows it, else nil",
        _BLOCK,
        lambda state, info, seen: seen.valid_round < seen.round == state.round,
        _endorse,
    ),
)
_ON_QUORUM_SEEN: Final[tuple[Rule[QuorumSeen], ...]] = (
    Rule(
        "L49-L54",
        "decide, in whatever round the quorum of COMMIT votes is",
        _OPEN,
        lambda state, info, quorum: quorum.topic == Topic.COMMIT and quorum.block_hash != NIL,
        _decide,
    ),
    Rule("rule 4", "commit to a block that a quorum is locked on", _OPEN, _may_commit, _commit),
    Rule("L36-L43", "lock an endorsed block", _PROPOSAL, _quorum(Topic.PROPOSAL, for_block=True), _lock),
    Rule(
        "L42-L43",
        "remember the block that was endorsed last, also in a round that is over",
        _OPEN,
        _is_endorsed_later,
        _remember,
    ),
    Rule("L44-L46", "lock nothing", _PROPOSAL, _quorum(Topic.PROPOSAL, for_block=False), _lock_nothing),
)
_ON_TIMED_OUT: Final[tuple[Rule[TimedOut], ...]] = (
    Rule("L57-L60", "no proposal came: endorse nil", _BLOCK, _is_over, _endorse_nothing),
    Rule("L61-L64", "no quorum endorsed: lock nothing", _PROPOSAL, _is_over, _lock_nothing),
    Rule("L65-L67", "no quorum locked or committed: the next round", _AFTER_PROPOSAL, _is_over, _next_round),
)
RULES: Final[Mapping[type, tuple[Rule[Any], ...]]] = {
    RoundStarted: _ON_ROUND_STARTED,
    ProposalSeen: _ON_PROPOSAL_SEEN,
    QuorumSeen: _ON_QUORUM_SEEN,
    TimedOut: _ON_TIMED_OUT,
}
"""Every transition, by the input that it answers; the first that fits is taken."""


def apply(state: State, info: Info, given: Input) -> Transition:
    """The state after an input, and what is to be done. The same arguments give the same answer, always."""
    for rule in RULES[type(given)]:
        if state.phase in rule.phases and rule.guard(state, info, given):
            return rule.effect(state, info, given)
    return Transition(state)
