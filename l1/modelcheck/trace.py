"""A run as lines that a reader can follow, with every delegate and block under one name from start to end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    Cast,
    Info,
    Input,
    NextRound,
    Output,
    Phase,
    ProposalSeen,
    Propose,
    QuorumSeen,
    RoundStarted,
    Schedule,
    TimedOut,
)
from l1.modelcheck.explorer import Explorer, Turn
from l1.modelcheck.world import A, B, Protocol, World, swap


def trace(protocol: Protocol, explorer: Explorer, path: tuple[World, ...], last: Turn | None) -> list[str]:
    """One line for each event of a run: the delegate (D0, D1, ...), what came in, and what it cast.

    Parameters
    ----------
    path
        The run's worlds, from the first.
    last
        The step after the last world, when it is this step that breaks an invariant.
    """
    names = list(range(len(path[0].honest)))
    swapped = False
    lines: list[str] = []
    for before, after in pairwise(path):
        origin = explorer.origin(after)
        lines += _turn(protocol, before, origin.given, names, swapped=swapped)
        names = [names[index] for index in origin.names.order]
        swapped ^= origin.names.swapped
    if last is not None:
        lines += _turn(protocol, path[-1], last.given, names, swapped=swapped)
    return lines


def _turn(
    protocol: Protocol, world: World, given: tuple[Input, ...], names: list[int], *, swapped: bool
) -> Iterator[str]:
    state = world.honest[world.turn].state
    for each in given:
        state, outputs = protocol(state, Info(), each)
        said = "; ".join(filter(None, (_output(output, swapped=swapped) for output in outputs)))
        yield f"D{names[world.turn]}: {_input(each, swapped=swapped)}" + (f" -> {said}" if said else "")


def _block(block_hash: bytes, *, swapped: bool) -> str:
    named = swap(block_hash) if swapped else block_hash
    return {NIL: "nil", A: "A", B: "B"}[named]


def _input(given: Input, *, swapped: bool) -> str:
    match given:
        case RoundStarted():
            return f"round {given.round} starts"
        case ProposalSeen():
            proof = "" if given.valid_round == NO_ROUND else f" with a proof of round {given.valid_round}"
            kind = "" if given.valid else "invalid "
            return f"sees {kind}proposal {_block(given.block_hash, swapped=swapped)} in round {given.round}{proof}"
        case QuorumSeen():
            block = _block(given.block_hash, swapped=swapped)
            return f"sees a quorum of {given.topic.name} for {block} in round {given.round}"
        case TimedOut():
            return f"{Phase(given.phase).name} of round {given.round} times out"


def _output(output: Output, *, swapped: bool) -> str:
    match output:
        case Cast():
            return f"{output.topic.name} {_block(output.block_hash, swapped=swapped)} in round {output.round}"
        case NextRound() | Schedule() | Propose():
            return ""
        case _:
            return str(output)
