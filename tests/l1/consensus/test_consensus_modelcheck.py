"""The exhaustive check of the machine: nothing is violated within bounds, every broken machine is seen to be, and the
explorer's order of events hides nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    Cast,
    Info,
    Input,
    Phase,
    ProposalSeen,
    QuorumSeen,
    RoundStarted,
    State,
    TimedOut,
    Topic,
    apply,
)
from l1.modelcheck.explorer import explore
from l1.modelcheck.invariants import INVARIANTS
from l1.modelcheck.mutations import MUTATIONS
from l1.modelcheck.trace import trace
from l1.modelcheck.world import HEIGHT, VALUES, Bounds, BoundsError, Facts, Protocol, swap

TWO_ROUNDS = Bounds(rounds=2)
THREE_ROUNDS = Bounds(rounds=3)
HALF_FAULTY = Bounds(honest=(1, 1), faulty=(1, 1), rounds=2)
IN_FORK = {"agreement"}


def test_the_machine_violates_nothing_in_two_rounds_of_four_delegates() -> None:
    explorer, report = explore(apply, TWO_ROUNDS)
    assert report.violations == {}
    assert report.states > 3_000
    committed = {block_hash for world in explorer.final for each in world.honest for _, block_hash in each.commits}
    assert committed, "some run commits to a block"


@pytest.mark.slow
def test_the_machine_violates_nothing_in_three_rounds_of_four_delegates() -> None:
    _, report = explore(apply, THREE_ROUNDS)
    assert report.violations == {}
    assert report.states > 50_000


@pytest.mark.parametrize(
    ("honest", "faulty"),
    [((3, 2, 2), (3,)), ((1, 2, 4), (3,)), ((1, 1, 1, 1), (1,)), ((1, 1, 1), ())],
    ids=["skewed", "one-may-stop-all", "five", "nobody-faulty"],
)
def test_unequal_power_violates_nothing(honest: tuple[int, ...], faulty: tuple[int, ...]) -> None:
    _, report = explore(apply, Bounds(honest, faulty, 2 if len(honest) < 4 else 1))
    assert report.violations == {}


def test_half_of_faulty_power_forks_and_is_convicted() -> None:
    explorer, report = explore(apply, HALF_FAULTY)
    assert set(report.violations) == IN_FORK, "two decisions, and neither accountability nor rule 4 is violated"
    _, path, last = report.violations["agreement"]
    lines = trace(apply, explorer, path, last)
    assert any("COMMIT A" in line for line in lines)
    assert any("COMMIT B" in line for line in lines)


BROKEN = sorted(name for name, mutation in MUTATIONS.items() if mutation.breaks)
CAUTION = sorted(name for name, mutation in MUTATIONS.items() if not mutation.breaks)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_machine_is_seen_to_break(name: str) -> None:
    explorer, report = explore(MUTATIONS[name].protocol, TWO_ROUNDS)
    assert set(report.violations) == MUTATIONS[name].breaks
    for broken, path, last in report.violations.values():
        assert broken.name in INVARIANTS
        lines = trace(MUTATIONS[name].protocol, explorer, path, last)
        assert len(lines) >= 9, "no run is shorter than a quorum of votes"


def test_without_rule_4_a_fork_convicts_honest_delegates() -> None:
    assert explore(MUTATIONS["no-rule-4"].protocol, TWO_ROUNDS)[1].violations == {}
    assert set(explore(MUTATIONS["no-rule-4"].protocol, HALF_FAULTY)[1].violations) > {"agreement", "rule-4"}


@pytest.mark.parametrize("name", CAUTION)
def test_what_is_only_caution_is_seen_to_be(name: str) -> None:
    assert explore(MUTATIONS[name].protocol, TWO_ROUNDS)[1].violations == {}


def test_the_rules_that_the_machine_stands_on_are_broken_one_by_one() -> None:
    assert len(BROKEN) == 7
    assert CAUTION == ["commit-does-not-lock", "newer-lock-ignored", "no-rule-4", "proof-must-be-newer"]
    assert set().union(*(each.breaks for each in MUTATIONS.values())) <= set(INVARIANTS)


@pytest.mark.slow
def test_in_three_rounds_a_lost_lock_locks_two_blocks() -> None:
    assert set(explore(MUTATIONS["any-proof"].protocol, THREE_ROUNDS)[1].violations) >= {"locks", "commits"}


def test_a_vote_outside_of_its_turn_is_reported() -> None:
    """The order of events holds for machines that vote in the present round only; another one is named, not trusted."""

    def hasty(state: State, info: Info, given: Input) -> tuple[State, tuple[object, ...]]:
        after, outputs = apply(state, info, given)
        if isinstance(given, RoundStarted) and outputs:
            outputs = (*outputs, Cast(Topic.LOCK, state.round, NIL))
        return after, outputs

    assert "order" in explore(hasty, Bounds(rounds=1))[1].violations  # type: ignore[arg-type]


def test_a_second_vote_is_reported() -> None:
    def stutterer(state: State, info: Info, given: Input) -> tuple[State, tuple[object, ...]]:
        if isinstance(given, TimedOut) and given.phase is Phase.ACCEPT_BLOCK_PROPOSAL:
            return state, (Cast(Topic.PROPOSAL, given.round, NIL),)
        return apply(state, info, given)

    assert "equivocation" in explore(stutterer, Bounds(rounds=1))[1].violations  # type: ignore[arg-type]


# --- all runs, in any order, where they are few ---

Votes = frozenset[tuple[int, Topic, bytes]]
Memory = tuple[State, Votes]


def quorums(world: tuple[Memory, ...], bounds: Bounds, topic: Topic) -> Facts:
    """What the votes and the faulty delegates justify."""
    return frozenset(
        (round_, block_hash)
        for round_ in range(bounds.rounds)
        for block_hash in (NIL, *VALUES)
        if sum((round_, topic, block_hash) in votes for _, votes in world) + len(bounds.faulty) >= bounds.quorum
    )


def any_input(state: State, endorsed: Facts, locked: Facts, bounds: Bounds) -> Iterator[Input]:
    """What may reach a delegate at any time."""
    yield from (RoundStarted(round_) for round_ in range(state.round + 1, bounds.rounds))
    yield from (QuorumSeen(Topic.PROPOSAL, *each) for each in endorsed)
    yield from (QuorumSeen(Topic.LOCK, *each) for each in locked)
    yield from (TimedOut(phase, state.round) for phase in Phase)
    for value in VALUES:
        shown = {at for at, block_hash in endorsed | locked if block_hash == value}
        yield from (ProposalSeen(state.round, value, True, at) for at in {NO_ROUND, *shown})
        yield ProposalSeen(state.round, value, False)


def successors(protocol: Protocol, world: tuple[Memory, ...], bounds: Bounds) -> Iterator[tuple[Memory, ...]]:
    endorsed, locked = quorums(world, bounds, Topic.PROPOSAL), quorums(world, bounds, Topic.LOCK)
    for index, (state, votes) in enumerate(world):
        for given in any_input(state, endorsed, locked, bounds):
            after, outputs = protocol(state, Info(), given)
            cast = {(each.round, each.topic, each.block_hash) for each in outputs if isinstance(each, Cast)}
            moved = (after, votes | cast)
            if moved != world[index]:
                yield tuple(sorted((*world[:index], moved, *world[index + 1 :]), key=repr))


def remembered(state: State, commits: Facts, *, swapped: bool) -> tuple[object, ...]:
    """What of a delegate the explorer keeps when a round is over."""

    def named(block_hash: bytes) -> bytes:
        return swap(block_hash) if swapped else block_hash

    locks = (state.locked_round, named(state.locked_hash), state.valid_round, named(state.valid_hash))
    cast = sorted((round_, named(block_hash)) for round_, block_hash in commits)
    return (*locks, state.committed_round, named(state.committed_hash), tuple(cast))


def view(world: list[tuple[State, Facts]]) -> tuple[object, ...]:
    both = [tuple(sorted(remembered(*each, swapped=swapped) for each in world)) for swapped in (False, True)]
    return min(both)


@pytest.mark.parametrize("name", ["", "no-lock-rule"])
@pytest.mark.parametrize(
    "bounds",
    [Bounds(rounds=1), Bounds(honest=(1,), faulty=(1,), rounds=3), Bounds(honest=(1, 1), faulty=(), rounds=2)],
    ids=["four-one-round", "two-three-rounds", "two-honest-two-rounds"],
)
def test_sorted_runs_reach_what_all_runs_reach(bounds: Bounds, name: str) -> None:
    protocol = MUTATIONS[name].protocol if name else apply
    first: tuple[Memory, ...] = ((State(HEIGHT), frozenset()),) * len(bounds.honest)
    seen, level = {first}, [first]
    while level:
        level = [after for world in level for after in set(successors(protocol, world, bounds)) - seen]
        level = list(dict.fromkeys(level))
        seen.update(level)
    everything = {
        view([(state, frozenset((at, h) for at, topic, h in votes if topic is Topic.COMMIT)) for state, votes in world])
        for world in seen
    }
    explorer, _ = explore(protocol, bounds)
    reached = {view([(each.state, each.commits) for each in world.honest]) for world in explorer.final}
    assert len(seen) > len(everything)
    assert reached == everything


# --- the command ---


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "l1.modelcheck", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_what_it_found() -> None:
    sound = run("--rounds", "1", "--json")
    assert sound.returncode == 0
    assert json.loads(sound.stdout)["violations"] == []
    broken = run("--rounds", "2", "--json", "--mutation", "reference-rule")
    assert broken.returncode == 1
    found = {each["invariant"]: each for each in json.loads(broken.stdout)["violations"]}
    assert found["agreement"]["trace"][0] == "D0: round 0 starts"
    assert "violated: agreement" in run("--rounds", "2", "--mutation", "reference-rule").stdout


@pytest.mark.parametrize("options", [("--rounds", "0"), ("--honest", ""), ("--faulty", "0"), ("--mutation", "none")])
def test_bounds_that_make_no_model_are_refused(options: tuple[str, str]) -> None:
    assert run(*options).returncode == 2


def test_bounds_need_an_honest_delegate() -> None:
    with pytest.raises(BoundsError):
        Bounds(honest=())
