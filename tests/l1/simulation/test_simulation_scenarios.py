"""Faults told one by one: each test opens with the sentence that says what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from l1.consensus import effects
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import MAX_PROPOSALS, ROUND_WINDOW, Driver
from l1.consensus.effects import Effect
from l1.consensus.log import Voted
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Decision, Vote
from l1.consensus.parameters import IIP_51, WAKE, Parameters
from l1.simulation.fault import Fault
from l1.simulation.host import Sent
from l1.simulation.network import Weather
from l1.simulation.plan import START, Crash, Moment, Plan, Seat, Wish
from l1.simulation.runs import run_one
from l1.simulation.world import OURS, REFERENCE_PORT, Report, Rule, World

FOUR = (100,) * 4
CALM = Weather(0, 10, 20)


def _usurped(rule: Rule) -> Report:
    """Delegate 0 hears all and is not heard. It alone sees round 0 commit: delegate 2, byzantine, gives its COMMIT to
    nobody else; then, the proposer of round 1, proposes another block to those who are locked on the first."""
    mute = frozenset((0, each) for each in (1, 2, 3))
    plan = Plan(
        1,
        FOUR,
        WAKE,
        (Weather(0, 10, 10, cut=mute), Weather(START + 20_000, 10, 10)),
        START + 20_000,
        byzantine={2: frozenset({Fault.USURPING})},
    )
    return World(plan, rule).run()


def test_a_commit_that_one_saw_is_not_undone_by_the_next_proposer() -> None:
    """Whoever is locked on a block endorses no other without a proof, so what one delegate decided stays decided."""
    report = _usurped(OURS)
    assert report.violations == ()
    assert report.heights >= 3


def test_the_reference_rule_lets_the_next_proposer_undo_a_commit() -> None:
    """In iotex-core, locked delegates endorse any valid block, and their COMMIT does not keep them from it: a fork."""
    report = _usurped(REFERENCE_PORT)
    assert [violation.rule for violation in report.violations] == ["agreement"]


def test_seeds_on_which_the_reference_rule_forks_and_ours_does_not() -> None:
    """The same faults, byzantine proposers and an unheard delegate, break the one rule and not the other."""
    wish = Wish(frozenset({Fault.ASYMMETRY, Fault.USURPING}), delegates=4, parameters=WAKE)
    forked = [seed for seed in range(40) if run_one(seed, wish, REFERENCE_PORT).violations]
    assert forked
    assert [run_one(seed, wish).violations for seed in forked] == [()] * len(forked)


@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
@pytest.mark.parametrize("count", [4, 7])
def test_one_vote_before_one_delegate_does_not_stop_the_chain(count: int, era: Parameters) -> None:
    """Byzantine delegates that let one honest delegate a round see a quorum win one round, not one after the other."""
    for seed in range(6):
        assert _split(seed, count, era, OURS).most_rounds <= (count - 1) // 3 + 2


def test_one_vote_before_one_delegate_stops_a_chain_that_shows_no_locks() -> None:
    """What the test above is about: without the proof of a lock, nobody can propose what its holder would endorse."""
    rounds = [_split(seed, 7, IIP_51, Rule(Hiding)).most_rounds for seed in range(6)]
    assert max(rounds) > 6


class Hiding(Driver):
    """Takes no proof of a lock from others, but with a proposal."""

    def on_certificate(self, certificate: Certificate, now: int) -> Sequence[Effect]:
        """Pass over it."""
        return []


def _split(seed: int, count: int, era: Parameters, rule: Rule) -> Report:
    wills = frozenset({Fault.SPLITTING, Fault.DOUBLE_PROPOSING, Fault.SILENT})
    byzantine = {0: wills} | {index: frozenset({Fault.SPLITTING}) for index in range(1, (count - 1) // 3)}
    plan = Plan(seed, (100,) * count, era, (CALM,), heights=8, byzantine=byzantine)
    report = World(plan, rule).run()
    assert report.violations == ()
    return report


class Shortsighted(Driver):
    """Takes no decision of a round far from its own."""

    def on_decision(self, decision: Decision, block_hash: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Only of near ones."""
        far = abs(decision.certificate.round - self.state.round) > ROUND_WINDOW
        return [] if far else super().on_decision(decision, block_hash, now, valid=valid)


@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
def test_a_delegate_that_was_cut_off_for_long_comes_back(era: Parameters) -> None:
    """However many rounds it went through alone, it takes the decisions of the others when it hears of them."""
    report = _cut_off(era, OURS)
    assert report.violations == ()
    assert report.heights > 50


def test_a_delegate_that_takes_near_decisions_only_never_comes_back() -> None:
    """What the test above is about: by the clock, a delegate runs through rounds alone, and leaves the others' behind."""
    assert [violation.rule for violation in _cut_off(WAKE, Rule(Shortsighted)).violations] == ["liveness"]


def _cut_off(era: Parameters, rule: Rule) -> Report:
    alone = frozenset((a, b) for a in range(4) for b in range(4) if 3 in (a, b) and a != b)
    stable = START + 100 * era.timing.interval
    weathers = (Weather(0, 10, 20, cut=alone), Weather(stable, 10, 20))
    return World(Plan(1, FOUR, era, weathers, stable), rule).run()


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
def test_all_lose_power_again_and_again(era: Parameters, moment: Moment) -> None:
    """Whenever the power fails, nobody contradicts itself after it, and the chain goes on."""
    for seed in range(3):
        crashes = tuple(
            Crash(delegate, START + at, moment, 400 + 130 * delegate, 0.25 * delegate + 0.1)
            for at in range(0, 30_000, 1_100 + 370 * seed)
            for delegate in range(4)
        )
        stable = START + 40_000
        plan = Plan(seed, FOUR, era, (CALM, Weather(stable)), stable, crashes=crashes, depth_first=seed == 1)
        report = World(plan).run()
        assert report.violations == ()
        assert report.happened[moment] > 4


class Forgetful(Driver):
    """Does not say its COMMIT again when it comes back."""

    def start_height(self, height: int, delegates: DelegateSet, last: int, now: int, entries: Any = ()) -> Any:
        """Without it."""
        asked = super().start_height(height, delegates, last, now, entries)
        again = [each for each in asked if isinstance(each, effects.SignVote) and each.vote.topic is Topic.COMMIT]
        return [each for each in asked if each not in again]


def _all_stop_with_a_block_that_is_not_in_their_chains(rule: Rule) -> tuple[World, int]:
    """The first block is final before all, their logs say so, and their chains are a block behind. How long it takes
    from their coming back until all have it in their chains."""
    back, stable = START + 3_000, START + 6_000
    crashes = tuple(Crash(delegate, START, Moment.BEFORE_COMMIT, 3_000) for delegate in range(4))
    world = World(Plan(1, FOUR, IIP_51, (CALM, Weather(stable, 10, 20)), stable, crashes=crashes), rule)
    stopped: list[int] = []
    committed: list[int] = []
    note = world.note

    def watch(what: bytes, *details: int | bytes) -> None:
        stopped.extend([world.now] if what == b"down" else [])
        committed.extend([world.now] if what == b"decided" and details[1] == 1 else [])
        note(what, *details)

    world.note = watch  # type: ignore[method-assign]
    assert world.run().violations == ()
    assert len(stopped) == len(committed) == 4
    assert min(committed) > max(stopped) >= back - 3_000
    return world, max(committed) - max(stopped) - 3_000


def test_a_block_that_all_had_decided_and_none_had_stored_is_decided_again_in_its_round() -> None:
    """What each voted is in its log: they say it again, and it is the same block, of the same round."""
    world, took = _all_stop_with_a_block_that_is_not_in_their_chains(OURS)
    assert world.checker.rounds[1] == 0
    assert len(world.checker.certificates[1]) == 1
    assert took < 200, "a message from each to each, and no deadline"


def test_without_its_commit_said_again_that_takes_deadlines() -> None:
    """What the test above is about."""
    _, took = _all_stop_with_a_block_that_is_not_in_their_chains(Rule(Forgetful))
    assert took > IIP_51.timing.accept_lock_endorsement, "another round"


@pytest.mark.parametrize("moment", [Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT, Moment.WHILE_ROTATING])
@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
def test_a_log_and_a_chain_that_are_a_block_apart_come_together(era: Parameters, moment: Moment) -> None:
    """Whoever stops between the log's last vote, the block in the chain and the log's end has the others' chain after,
    and has never voted against what it voted before; also where the next height is another set's."""
    sets = (
        tuple(Seat(number, 100) for number in range(4)),
        tuple(Seat(number, 50 + number) for number in (3, 4, 1, 0)),
        tuple(Seat(number, 90 - number) for number in (2, 4, 3, 1, 0)),
    )
    stable = START + 40_000
    crashes = tuple(
        Crash(at // 1_000 % 5, START + at, moment, 40 + 1_700 * (at // 1_000 % 2)) for at in range(0, 38_000, 1_000)
    )
    parameters = replace(era, blocks_per_epoch=1)
    plan = Plan(4, (100,) * 5, parameters, (CALM, Weather(stable, 10, 20)), stable, crashes=crashes, sets=sets)
    world = World(plan)
    report = world.run()
    assert report.violations == ()
    assert report.happened[moment] >= (3 if moment is Moment.WHILE_ROTATING else 10)
    common = min(len(host.chain) for host in world.hosts)
    assert common > 10
    assert len({tuple(block_hash for block_hash, _ in host.chain[:common]) for host in world.hosts}) == 1


def test_a_log_that_is_ahead_of_its_chain_by_more_than_a_vote_is_no_log_of_this_chain() -> None:
    """A delegate votes at a height once its parent is stored. A store that lost a block that the log knows of is not
    silently followed."""
    world = World(Plan(1, FOUR, IIP_51, (CALM,)))
    world.hosts[0].disk.append(Voted(2, 0, Topic.LOCK, bytes(32)))
    assert [violation.rule for violation in world.run().violations] == ["exception"]


def test_a_third_without_power_stops_the_chain_and_no_more() -> None:
    """With a third of the power gone nothing is decided, and nothing wrong either; it goes on when they are back."""
    stable = START + 60_000
    crashes = tuple(Crash(delegate, START + 6_000, Moment.AT_ONCE, 54_000) for delegate in (1, 2))
    world = World(Plan(1, FOUR, IIP_51, (CALM, Weather(stable)), stable, crashes=crashes))
    seen: list[tuple[int, int]] = []

    def watch(sender: int, receiver: int, message: Sent) -> bool:
        seen.append((world.now, len(world.checker.blocks)))
        return True

    world.script = watch
    assert world.run().violations == ()
    assert len({heights for now, heights in seen if START + 10_000 < now < stable}) == 1


@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
def test_one_that_missed_the_end_of_a_height_it_watched_takes_part_in_the_next(era: Parameters) -> None:
    """Each height is one delegate's. The next one has missed the block before, nobody else has anything to say, and yet
    it comes to know of it."""
    sets = tuple((Seat(number, 100),) for number in range(4))
    stable = START + 30_000
    plan = Plan(1, FOUR, replace(era, blocks_per_epoch=1), (CALM, Weather(stable, 10, 20)), stable, sets=sets)
    world = World(plan)
    world.script = lambda sender, receiver, message: world.now > START + 20_000 or receiver != 1
    report = world.run()
    assert report.violations == ()
    assert report.heights >= 4


@pytest.mark.parametrize("depth_first", [False, True])
def test_what_was_wanted_before_a_decision_is_dropped_with_it(depth_first: bool) -> None:
    """Who decides alone comes back, says its COMMIT again, and has decided before it comes to its proposal: at the next
    height, where it has no seat, that proposal is in nobody's name."""
    sets = tuple((Seat(number, 100),) for number in range(4))
    stable = START + 30_000
    crashes = tuple(Crash(at % 4, START + 900 * at, Moment.BEFORE_COMMIT, 50) for at in range(30))
    parameters = replace(IIP_51, blocks_per_epoch=1)
    weathers = (CALM, Weather(stable, 10, 20))
    plan = Plan(1, FOUR, parameters, weathers, stable, crashes=crashes, sets=sets, depth_first=depth_first)
    report = World(plan).run()
    assert report.violations == ()
    assert report.happened[Moment.BEFORE_COMMIT] > 8


def test_a_delegate_watches_until_it_has_a_seat_and_then_takes_part() -> None:
    """Delegate 4 has no seat for six heights: it has the chain of the others all the time, and says nothing; in the set
    of the seventh, three of its peers are not, and nothing is decided without it."""
    members = tuple(Seat(number, 100) for number in range(4))
    without = (Seat(4, 300), Seat(2, 100), Seat(5, 20))
    parameters = replace(IIP_51, blocks_per_epoch=6)
    world = World(Plan(1, (100,) * 6, parameters, (CALM,), heights=10, sets=(members, without)))
    said: dict[int, set[int]] = {}

    def watch(sender: int, receiver: int, message: Sent) -> bool:
        if isinstance(message, Vote):
            said.setdefault(message.height, set()).add(sender)
        return True

    world.script = watch
    assert world.run().violations == ()
    assert all(said[height] == {0, 1, 2, 3} for height in range(1, 7))
    assert all({4} <= said[height] <= {4, 2, 5} for height in range(7, 11))


def test_what_was_said_on_another_chain_counts_for_nothing() -> None:
    """A byzantine delegate that replays votes of other chains, heights and rounds is refused, with a reason, counted."""
    byzantine = {0: frozenset({Fault.REPLAYING, Fault.ROUND_SKIPPING})}
    for signed in (False, True):
        world = World(Plan(3, FOUR, IIP_51, (CALM,), heights=10, byzantine=byzantine), signed=signed)
        assert world.run().violations == ()
        assert sum(world.hosts[each].refused["signature"] for each in world.plan.honest) > 20


def test_blocks_nobody_may_follow_are_never_decided() -> None:
    """Invalid blocks, wrong parents, blocks of the far future, and bytes under another block's hash."""
    byzantine = {0: frozenset({Fault.INVALID_BLOCKS}), 3: frozenset({Fault.INVALID_BLOCKS, Fault.FORGED_PROOFS})}
    world = World(Plan(5, (100,) * 7, IIP_51, (CALM,), heights=14, byzantine=byzantine))
    assert world.run().violations == ()
    reasons = set().union(*(world.hosts[each].refused for each in world.plan.honest))
    assert {"hash", "power", "proof"} <= reasons


@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
@pytest.mark.parametrize("count", [4, 7])
def test_proposers_that_flood_fill_nobodys_memory_and_win_their_own_turns_only(count: int, era: Parameters) -> None:
    """However many blocks they propose for all their turns, a delegate holds a handful; others' turns decide as ever."""
    flooding = frozenset({Fault.FLOODING, Fault.DOUBLE_PROPOSING})
    byzantine = dict.fromkeys(range((count - 1) // 3), flooding)
    world = World(Plan(7, (100,) * count, era, (CALM,), heights=12, byzantine=byzantine))
    most = 0

    def watch(sender: int, receiver: int, message: Sent) -> bool:
        nonlocal most
        if world.hosts[receiver].up:
            driver = world.hosts[receiver].driver
            assert isinstance(driver, Driver)
            most = max(most, len(driver._proposals._blocks))
        return True

    world.script = watch
    report = world.run()
    assert report.violations == ()
    assert report.happened[Fault.FLOODING] > 200
    assert report.most_rounds <= (count - 1) // 3 + 1
    over, near = report.most_rounds - 1, 2
    assert most <= over + near * MAX_PROPOSALS


def test_a_script_may_hold_back_one_kind_of_message() -> None:
    """Without COMMIT votes nothing is decided; the resent ones decide it at once."""
    world = World(Plan(1, FOUR, IIP_51, (CALM, Weather(START + 9_000)), START + 9_000, heights=2))

    def passes(sender: int, receiver: int, message: Sent) -> bool:
        return not (world.now < START + 9_000 and getattr(message, "topic", None) == 2)

    world.script = passes
    report = world.run()
    assert report.violations == ()
    assert min(world.checker.blocks) == 1
    assert all(world.hosts[each].height >= 3 for each in range(4))
