"""What must hold of every world, of every step into it, and of what could follow it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    Cast,
    Decide,
    Info,
    Input,
    Output,
    Phase,
    ProposalSeen,
    Propose,
    QuorumSeen,
    RoundStarted,
    State,
    TimedOut,
    Topic,
)
from l1.modelcheck.world import Bounds, Honest, Protocol, World

FRESH = b"C" * 32
"""A block that nobody has seen yet."""


class Broken(NamedTuple):
    """An invariant that does not hold."""

    name: str
    """Which; the keys of `INVARIANTS`."""
    text: str
    """What is wrong."""


INVARIANTS = {
    "order": "a PROPOSAL or LOCK vote is of the round and topic whose turn it is, a COMMIT vote of no later round",
    "equivocation": "an honest delegate casts one vote a round and topic",
    "rule-4": "an honest delegate casts COMMIT for one block a height: it is never convicted",
    "proposal": "an honest proposer has a proof for what it proposes again, and would endorse it itself",
    "decision": "a quorum of COMMIT votes decides for whoever has not decided, and for nobody else",
    "locks": "quorums of LOCK votes are for one block, in whatever rounds (less than a third is faulty)",
    "commits": "honest delegates cast COMMIT for one block (less than a third is faulty)",
    "agreement": "quorums of COMMIT votes are for one block, in whatever rounds",
    "accountability": "quorums of COMMIT votes for two blocks convict more than a third, whoever is in them",
    "termination": "once messages arrive, honest delegates alone decide before each of them has proposed twice",
}
"""The invariants by name. `locks`, `commits` and `termination` are promised while less than a third is faulty."""


def of_step(world: World, before: Honest, given: Input, outputs: Iterable[Output]) -> Iterator[Broken]:
    """Of what a delegate does on one input."""
    for output in outputs:
        match output:
            case Cast(topic=Topic.COMMIT):
                yield from _of_commit(before, output)
            case Cast():
                if (output.round, output.topic) != tuple(world.layer):
                    yield Broken("order", f"{output.topic.name} is cast in the turn of {world.layer}")
                elif before.cast is not None:
                    yield Broken("equivocation", f"{output.topic.name} is cast twice in round {output.round}")
            case Propose() if output.valid_round != NO_ROUND:
                proof = (output.valid_round, output.block_hash)
                if proof not in world.endorsed | world.locked:
                    yield Broken("proposal", "no quorum endorsed what is proposed again")
                yield from _of_own_lock(before.state, output)
            case Propose():
                yield from _of_own_lock(before.state, output)


def _of_commit(before: Honest, cast: Cast) -> Iterator[Broken]:
    if cast.round > before.state.round or cast.block_hash == NIL:
        yield Broken("order", f"COMMIT of round {cast.round} is cast in round {before.state.round}")
    if any(round_ == cast.round for round_, _ in before.commits):
        yield Broken("equivocation", f"COMMIT is cast twice in round {cast.round}")
    if any(block_hash != cast.block_hash for _, block_hash in before.commits):
        yield Broken("rule-4", "COMMIT is cast for two blocks")


def _of_own_lock(state: State, output: Propose) -> Iterator[Broken]:
    allowed = state.locked_hash in (NIL, output.block_hash) or state.locked_round <= output.valid_round
    if not allowed:
        yield Broken("proposal", "the proposer is locked on another block than it proposes")


def of_world(protocol: Protocol, world: World, bounds: Bounds) -> Iterator[Broken]:
    """Of all votes together."""
    decided = _commit_quorums(world, bounds)
    if not bounds.may_break:
        if len({block_hash for _, block_hash in world.locked if block_hash != NIL}) > 1:
            yield Broken("locks", "quorums of LOCK votes are for two blocks")
        if len({block_hash for each in world.honest for _, block_hash in each.commits}) > 1:
            yield Broken("commits", "honest delegates cast COMMIT for two blocks: neither may ever reach a quorum")
    for each in world.honest:
        for round_, block_hash in decided:
            after, outputs = protocol(each.state, Info(), QuorumSeen(Topic.COMMIT, round_, block_hash))
            if outputs != (Decide(round_, block_hash),) or after.phase is not Phase.DECIDED:
                yield Broken("decision", "a quorum of COMMIT votes does not decide")
    if len({block_hash for _, block_hash in decided}) > 1:
        yield Broken("agreement", "quorums of COMMIT votes are for two blocks")
        if _least_convicted(world, bounds, decided) <= bounds.total // 3:
            yield Broken("accountability", "two decisions convict no more than a third of the power")


def _commit_quorums(world: World, bounds: Bounds) -> list[tuple[int, bytes]]:
    cast = sorted({commit for each in world.honest for commit in each.commits})
    faulty = sum(bounds.faulty)
    return [
        commit
        for commit in cast
        if sum(each.power for each in world.honest if commit in each.commits) + faulty >= bounds.quorum
    ]


def _least_convicted(world: World, bounds: Bounds, decided: list[tuple[int, bytes]]) -> int:
    """The least faulty power that is in two certificates for two blocks, over all choices of their signers.

    An honest delegate in both is not counted: it must not be there at all (rule 4).
    """
    powers = [each.power for each in world.honest] + list(bounds.faulty)
    faulty = range(len(world.honest), len(powers))

    def certificates(commit: tuple[int, bytes]) -> list[frozenset[int]]:
        voters = [index for index, each in enumerate(world.honest) if commit in each.commits] + list(faulty)
        return [
            frozenset(signers)
            for size in range(1, len(voters) + 1)
            for signers in combinations(voters, size)
            if sum(powers[index] for index in signers) >= bounds.quorum
        ]

    return min(
        sum(powers[index] for index in one & other if index in faulty)
        for first, second in combinations(decided, 2)
        if first[1] != second[1]
        for one in certificates(first)
        for other in certificates(second)
    )


def decides(protocol: Protocol, honest: tuple[Honest, ...], bounds: Bounds) -> bool:
    """Whether honest delegates decide once the faulty are silent and everything that is sent arrives in time.

    Rounds of faulty proposers are left out; nothing from before is delivered again but the proof that a proposal
    carries.
    """
    states = [each.state for each in honest]
    for at in range(2 * len(honest)):
        round_ = bounds.rounds + at
        states, proposed = _apply_all(protocol, states, RoundStarted(round_), proposer=at % len(honest))
        proposals = [each for each in proposed if isinstance(each, Propose)]
        if len(proposals) != 1:
            return False
        block_hash = FRESH if proposals[0].valid_round == NO_ROUND else proposals[0].block_hash
        given: Input = ProposalSeen(round_, block_hash, True, proposals[0].valid_round)
        for topic in Topic:
            states, outputs = _apply_all(protocol, states, given)
            voters = sum(
                each.power
                for each, cast in zip(honest, outputs, strict=True)
                if cast == Cast(topic, round_, block_hash)
            )
            if voters < bounds.quorum:
                states, _ = _apply_all(protocol, states, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, round_))
                break
            given = QuorumSeen(topic, round_, block_hash)
        else:
            states, outputs = _apply_all(protocol, states, given)
            return outputs == [Decide(round_, block_hash)] * len(honest)
    return False


def _apply_all(
    protocol: Protocol, states: list[State], given: Input, proposer: int | None = None
) -> tuple[list[State], list[Cast | Propose | Decide | None]]:
    """The states after an input to all, and of each delegate's outputs the vote, proposal or decision."""
    after, said = [], []
    for index, state in enumerate(states):
        changed, outputs = protocol(state, Info(index == proposer), given)
        after.append(changed)
        said.append(next((each for each in outputs if isinstance(each, Cast | Propose | Decide)), None))
    return after, said
