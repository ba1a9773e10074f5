"""The machine with one rule broken: what the explorer must see fail, so that its silence on the machine says something.

Each mutation changes what `machine.apply` is given or what it returns, for one kind of input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    Info,
    Input,
    Phase,
    ProposalSeen,
    Propose,
    QuorumSeen,
    RoundStarted,
    State,
    TimedOut,
    Topic,
    Transition,
    apply,
)
from l1.modelcheck.world import Protocol


def _unlocked(state: State) -> State:
    return state._replace(locked_round=NO_ROUND, locked_hash=NIL)


def _with_lock_of(before: State, after: State) -> State:
    return after._replace(locked_round=before.locked_round, locked_hash=before.locked_hash)


def _is_quorum(given: Input, topic: Topic, *, for_block: bool) -> bool:
    return isinstance(given, QuorumSeen) and given.topic is topic and (given.block_hash != NIL) is for_block


def no_lock_rule(state: State, info: Info, given: Input) -> Transition:
    """A proposal is endorsed whatever the lock (L23 and L29 without their second half)."""
    if not isinstance(given, ProposalSeen):
        return apply(state, info, given)
    after, outputs = apply(_unlocked(state), info, given)
    return Transition(_with_lock_of(state, after), outputs)


def nil_unlocks(state: State, info: Info, given: Input) -> Transition:
    """A quorum of PROPOSAL votes for nil takes the lock away, as in older protocols of this family."""
    after, outputs = apply(state, info, given)
    if outputs and _is_quorum(given, Topic.PROPOSAL, for_block=False):
        after = _unlocked(after)
    return Transition(after, outputs)


def any_proof(state: State, info: Info, given: Input) -> Transition:
    """A proof unlocks whatever its round (L28 and L29 without `lockedRound <= vr`)."""
    if isinstance(given, ProposalSeen) and NO_ROUND < given.valid_round < state.locked_round:
        given = given._replace(valid_round=state.locked_round)
    return apply(state, info, given)


def no_rule_4(state: State, info: Info, given: Input) -> Transition:
    """COMMIT is cast for another block than in an earlier round."""
    if _is_quorum(given, Topic.LOCK, for_block=True) and state.committed_hash != NIL:
        after, outputs = apply(state._replace(committed_hash=NIL), info, given)
        return Transition(after if outputs else state, outputs)
    return apply(state, info, given)


def lock_vote_without_lock(state: State, info: Info, given: Input) -> Transition:
    """LOCK is cast for a block, and the delegate is not locked on it (L37 and L38 left out)."""
    after, outputs = apply(state, info, given)
    if outputs and _is_quorum(given, Topic.PROPOSAL, for_block=True):
        after = _with_lock_of(state, after)
    return Transition(after, outputs)


def reference_rule(state: State, info: Info, given: Input) -> Transition:
    """iotex-core: any valid proposal is endorsed, who sees none in time endorses the block of its lock, a quorum for nil
    unlocks, and who has cast COMMIT goes on as if it had not (`rolldposctx.go`, `roundctx.go`, `endorsementmanager.go`).
    """
    if isinstance(given, TimedOut) and given.phase is state.phase is Phase.ACCEPT_BLOCK_PROPOSAL:
        if state.locked_hash != NIL and given.round == state.round:
            return apply(state, info, ProposalSeen(state.round, state.locked_hash, True))
        return apply(state, info, given)
    if isinstance(given, ProposalSeen):
        return no_lock_rule(state, info, given)
    if _is_quorum(given, Topic.LOCK, for_block=True):
        return no_rule_4(state, info, given)
    return nil_unlocks(state, info, given)


def lock_forgotten(state: State, info: Info, given: Input) -> Transition:
    """A round begins without the lock of the round before: amnesia of everybody, or a restart without a log."""
    if isinstance(given, RoundStarted) and given.round > state.round:
        state = _unlocked(state)
    return apply(state, info, given)


def commit_does_not_lock(state: State, info: Info, given: Input) -> Transition:
    """COMMIT is cast on a quorum of LOCK votes without being locked on the block."""
    after, outputs = apply(state, info, given)
    if outputs and _is_quorum(given, Topic.LOCK, for_block=True):
        after = _with_lock_of(state, after)
    return Transition(after, outputs)


def newer_lock_ignored(state: State, info: Info, given: Input) -> Transition:
    """COMMIT is cast though a later round's lock is on another block."""
    if _is_quorum(given, Topic.LOCK, for_block=True) and state.locked_hash != NIL:
        after, outputs = apply(_unlocked(state), info, given)
        return Transition(after if outputs else state, outputs)
    return apply(state, info, given)


def proof_forgotten(state: State, info: Info, given: Input) -> Transition:
    """A proposer always proposes a fresh block (L16 left out)."""
    after, outputs = apply(state, info, given)
    fresh = tuple(Propose(each.round, NIL, NO_ROUND) if isinstance(each, Propose) else each for each in outputs)
    return Transition(after, fresh)


def proof_must_be_newer(state: State, info: Info, given: Input) -> Transition:
    """A proof of the very round of the lock does not unlock (L29 with `<` for `<=`)."""
    if isinstance(given, ProposalSeen) and given.valid_round == state.locked_round != NO_ROUND:
        given = given._replace(valid_round=NO_ROUND)
    return apply(state, info, given)


class Mutation(NamedTuple):
    """A broken machine, and what comes of it while less than a third of the power is faulty."""

    protocol: Protocol
    """The machine."""
    breaks: frozenset[str]
    """What is violated in two rounds of four equal delegates of whom one is faulty; empty for a rule that is not needed
    there."""
    why: str
    """What comes of it."""


_SPLIT = frozenset({"locks", "commits", "termination"})

MUTATIONS: Mapping[str, Mutation] = {
    "no-lock-rule": Mutation(
        no_lock_rule,
        _SPLIT,
        "two blocks are locked; by rule 4 alone they are not both decided, but neither may be",
    ),
    "nil-unlocks": Mutation(
        nil_unlocks,
        frozenset({"termination"}),
        "who cast COMMIT loses its lock and cannot cast COMMIT again; in three rounds two blocks are locked",
    ),
    "any-proof": Mutation(
        any_proof,
        frozenset({"termination"}),
        "a quorum older than the lock undoes it; in three rounds two blocks are locked",
    ),
    "no-rule-4": Mutation(
        no_rule_4,
        frozenset(),
        "the lock rule alone keeps agreement; where a third is faulty, a fork convicts honest delegates",
    ),
    "lock-vote-without-lock": Mutation(lock_vote_without_lock, _SPLIT, "a LOCK vote promises nothing"),
    "reference-rule": Mutation(
        reference_rule,
        frozenset({"locks", "commits", "rule-4", "agreement", "accountability"}),
        "one faulty proposer makes two blocks final, and no more than a third is convicted",
    ),
    "lock-forgotten": Mutation(lock_forgotten, _SPLIT, "what a restart without a log does"),
    "commit-does-not-lock": Mutation(
        commit_does_not_lock,
        frozenset(),
        "caution: the quorum of LOCK votes that a COMMIT rests on is locked already",
    ),
    "newer-lock-ignored": Mutation(
        newer_lock_ignored,
        frozenset(),
        "caution: a quorum of LOCK votes and a later lock on another block need a third of faulty power",
    ),
    "proof-forgotten": Mutation(
        proof_forgotten, frozenset({"termination", "proposal"}), "locked delegates refuse what comes fresh"
    ),
    "proof-must-be-newer": Mutation(
        proof_must_be_newer,
        frozenset(),
        "caution: a proof of the lock's own round is for the locked block, unless a third is faulty",
    ),
}
"""By name."""
