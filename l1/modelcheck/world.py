"""The model: a few honest delegates that run the machine, faulty ones that say anything, and a network without clock.

Asynchrony: a fact that votes justify may reach a delegate at any time or never; a phase may time out, and a later round
begin, at any time. Faulty delegates have no state. Their power counts for whatever quorum is asked of, each time anew,
and the round's proposer is always taken to be faulty: a delegate may be shown any block with any proof that some
quorum justifies. What an honest proposer proposes is among it (`invariants` checks that its proof is justified).

Order of events. A PROPOSAL or LOCK vote of round r is cast in round r, and rests on quorums of earlier topics and rounds
only: LOCK on PROPOSAL votes of the round, PROPOSAL on proofs of earlier rounds, and both on the delegate's own lock,
which rests on the same or, through a late COMMIT, on LOCK votes of earlier rounds. A quorum of PROPOSAL votes that is
seen when its round is over changes nothing but what is proposed. COMMIT votes move nobody but to decide, and who has
decided does nothing any more, which is what a delegate does whose messages never arrive. So the events of any run can
be sorted by (round, topic) without changing any delegate's own sequence of events or what it rests on, and within one
round and topic by delegate. `Layer` is this order. Only sorted runs are explored; they reach every vector of delegates'
states that unsorted ones do. `explorer` reports a machine that casts a vote outside of its layer, for which the argument
does not hold; a test compares the states reached with those of all runs, unsorted, where they are few enough.

Fewer runs that show as much. (a) A delegate that says nothing in a round does what it does by saying nil in it, and may
do more after: phases come in order, and a vote for nil only adds quorums. So a turn ends when the delegate has cast the
layer's vote. (b) When a round is over, only its locks, its newest proof and its COMMIT votes tell a delegate's states
apart: any later round may begin from every phase, and LOCK quorums of the rounds until then count in all of them.

Symmetry. Delegates of equal power and the blocks A and B are alike: no rule of the model tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

from l1.consensus.machine import (
    NIL,
    Info,
    Input,
    Phase,
    ProposalSeen,
    QuorumSeen,
    RoundStarted,
    State,
    TimedOut,
    Topic,
    Transition,
)

A = b"A" * 32
B = b"B" * 32
VALUES = (A, B)
HEIGHT = 1

Protocol = Callable[[State, Info, Input], Transition]
Facts = frozenset[tuple[int, bytes]]
"""(round, block hash) of quorums."""


class BoundsError(ValueError):
    """Bounds that make no model."""


@dataclass(frozen=True)
class Bounds:
    """What is explored."""

    honest: tuple[int, ...] = (1, 1, 1)
    """Power of each honest delegate."""
    faulty: tuple[int, ...] = (1,)
    """Power of each faulty delegate."""
    rounds: int = 3
    """Rounds, from 0."""
    total: int = field(init=False)
    """Power of all."""

    def __post_init__(self) -> None:
        """Raises BoundsError."""
        if not self.honest or min(*self.honest, *self.faulty, self.rounds) < 1:
            raise BoundsError("at least one honest delegate, one round, and powers of 1 or more")
        object.__setattr__(self, "total", sum(self.honest) + sum(self.faulty))

    @cached_property
    def quorum(self) -> int:
        """The least power that is more than two thirds."""
        return 2 * self.total // 3 + 1

    @cached_property
    def may_break(self) -> bool:
        """Whether a third of the power or more is faulty, so that agreement is not promised."""
        return 3 * sum(self.faulty) >= self.total


class Honest(NamedTuple):
    """What an honest delegate remembers, and what of its votes still matters."""

    power: int
    state: State
    cast: bytes | None = None
    """Its vote of the present layer's round and topic, PROPOSAL or LOCK; None for none yet."""
    commits: Facts = frozenset()
    """Its COMMIT votes."""


class Layer(NamedTuple):
    """Where in the order of events a run is."""

    round: int
    topic: Topic


class World(NamedTuple):
    """Everything that what happens next depends on."""

    layer: Layer
    turn: int
    """Whose events come next; those of delegates before it are over in this layer."""
    honest: tuple[Honest, ...]
    endorsed: Facts = frozenset()
    """Quorums of PROPOSAL votes that the votes cast and the faulty delegates make possible."""
    locked: Facts = frozenset()
    """Likewise of LOCK votes."""


def start(bounds: Bounds) -> World:
    """The world before the first round."""
    honest = tuple(Honest(power, State(HEIGHT)) for power in bounds.honest)
    return World(Layer(0, Topic.PROPOSAL), 0, honest)


def inputs(world: World, state: State) -> Iterator[Input]:
    """What may reach the delegate whose turn it is, in this state."""
    round_, topic = world.layer
    # Who still waits for PROPOSAL votes when the LOCK votes are in could have seen their quorum before.
    late = topic is Topic.COMMIT and state.phase is Phase.ACCEPT_PROPOSAL_ENDORSEMENT
    for at, block_hash in world.endorsed:
        if at < state.round or (at == state.round and not late):
            yield QuorumSeen(Topic.PROPOSAL, at, block_hash)
    for at, block_hash in world.locked:
        if at <= state.round:
            yield QuorumSeen(Topic.LOCK, at, block_hash)
    if topic is Topic.PROPOSAL and state.round < round_:
        yield RoundStarted(round_)
    if state.round == round_:
        yield from _proposals(world, state) if topic is Topic.PROPOSAL else ()
        yield from (TimedOut(phase, round_) for phase in _ENDS[topic])


_ENDS = {
    Topic.PROPOSAL: (Phase.ACCEPT_BLOCK_PROPOSAL,),
    Topic.LOCK: (Phase.ACCEPT_PROPOSAL_ENDORSEMENT,),
    Topic.COMMIT: (Phase.ACCEPT_LOCK_ENDORSEMENT, Phase.ACCEPT_PRECOMMIT_ENDORSEMENT),
}
"""The phases that may time out in the turns of a topic."""


def _proposals(world: World, state: State) -> Iterator[Input]:
    if state.phase is not Phase.ACCEPT_BLOCK_PROPOSAL:
        return
    for value in VALUES:
        yield ProposalSeen(state.round, value, True)
        yield ProposalSeen(state.round, value, False)
        for at in {at for at, shown in world.endorsed | world.locked if shown == value and at < state.round}:
            yield ProposalSeen(state.round, value, True, at)


def is_final(world: World, bounds: Bounds) -> bool:
    """Whether the last round's last turn is over."""
    return world.layer.round == bounds.rounds


def next_turn(world: World, bounds: Bounds) -> World:
    """The world when the delegate whose turn it is does nothing more in this layer, under whatever names."""
    if world.turn + 1 < len(world.honest):
        return world._replace(turn=world.turn + 1)
    round_, topic = world.layer
    after = Layer(round_ + 1, Topic.PROPOSAL) if topic is Topic.COMMIT else Layer(round_, Topic(topic + 1))
    honest = tuple(each._replace(cast=None) for each in world.honest)
    if topic is Topic.COMMIT:
        honest = tuple(each._replace(state=each.state._replace(round=round_, phase=Phase.PREPARE)) for each in honest)
    endorsed, locked = world.endorsed, world.locked
    if topic is Topic.PROPOSAL:
        endorsed |= _quorums(world, bounds)
    elif topic is Topic.LOCK:
        locked |= _quorums(world, bounds)
    else:
        # Quorums for nil move nobody who is in a later round.
        endorsed = frozenset(each for each in endorsed if each[1] != NIL)
        locked = frozenset(each for each in locked if each[1] != NIL)
    return World(after, 0, honest, endorsed, locked)


def _quorums(world: World, bounds: Bounds) -> Facts:
    """The quorums that the votes of the present layer and the faulty delegates make possible."""
    faulty = sum(bounds.faulty)
    return frozenset(
        (world.layer.round, block_hash)
        for block_hash in (NIL, *VALUES)
        if sum(each.power for each in world.honest if each.cast == block_hash) + faulty >= bounds.quorum
    )


class Renaming(NamedTuple):
    """How a canonical world's names come from those of the world that it stands for."""

    order: tuple[int, ...]
    """Position i holds the delegate that was at `order[i]`."""
    swapped: bool
    """Whether A stands for B and B for A."""


_SWAPPED = {A: B, B: A}


def canonical(world: World) -> tuple[World, Renaming]:
    """The one of all worlds that are the same but for names: of equally powerful delegates whose turn is over, of those
    whose turn comes yet, and of blocks."""
    swapped = World(
        world.layer,
        world.turn,
        tuple(_swap_honest(each) for each in world.honest),
        _swap_facts(world.endorsed),
        _swap_facts(world.locked),
    )
    candidates = [_sorted(world, swapped=False), _sorted(swapped, swapped=True)]
    return min(candidates, key=lambda each: _key(each[0]))


def _sorted(world: World, *, swapped: bool) -> tuple[World, Renaming]:
    def by_content(index: int) -> tuple[object, ...]:
        return _order(world.honest[index])

    done, coming = range(world.turn), range(world.turn, len(world.honest))
    order = (*sorted(done, key=by_content), *sorted(coming, key=by_content))
    return world._replace(honest=tuple(world.honest[index] for index in order)), Renaming(order, swapped)


def swap(block_hash: bytes) -> bytes:
    """B for A, A for B."""
    return _SWAPPED.get(block_hash, block_hash)


@cache
def _swap_facts(facts: Facts) -> Facts:
    return frozenset((at, swap(block_hash)) for at, block_hash in facts)


@cache
def _swap_honest(one: Honest) -> Honest:
    state = one.state._replace(
        locked_hash=swap(one.state.locked_hash),
        valid_hash=swap(one.state.valid_hash),
        committed_hash=swap(one.state.committed_hash),
    )
    cast = None if one.cast is None else swap(one.cast)
    return Honest(one.power, state, cast, _swap_facts(one.commits))


@cache
def _order(one: Honest) -> tuple[object, ...]:
    return (one.power, one.state, one.cast or b"", sorted(one.commits))


@cache
def _listed(facts: Facts) -> list[tuple[int, bytes]]:
    return sorted(facts)


def _key(world: World) -> tuple[object, ...]:
    return ([_order(each) for each in world.honest], _listed(world.endorsed), _listed(world.locked))
