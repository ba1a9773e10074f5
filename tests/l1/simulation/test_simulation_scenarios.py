"""Faults told one by one: each test opens with the sentence that says what must hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from l1.consensus.driver import ROUND_WINDOW, Driver
from l1.consensus.effects import Effect
from l1.consensus.messages import Certificate, Decision
from l1.consensus.parameters import IIP_51, WAKE, Parameters
from l1.simulation.host import Sent
from l1.simulation.network import Weather
from l1.simulation.plan import START, Crash, Fault, Moment, Plan, Wish
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
        assert World(plan).run().violations == ()


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
