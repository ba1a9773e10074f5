"""The consensus survives whatever is drawn from a seed: the network's faults, the disks', and byzantine delegates."""

from __future__ import annotations

import pytest

from l1.consensus.parameters import DEVNET, IIP_51, WAKE, Parameters
from l1.simulation.fault import Fault
from l1.simulation.plan import Wish
from l1.simulation.runs import run_one
from l1.simulation.world import Report

RUNS = 20
"""Seeds of one test."""
HIDDEN_LOCKS = Wish(frozenset({Fault.SPLITTING, Fault.DOUBLE_PROPOSING, Fault.SILENT}), heights=6, parameters=IIP_51)
KEPT = (6_017, 6_078, 6_160, 6_161, 6_191, 6_193)
"""Seeds of HIDDEN_LOCKS on which delegates that show nobody what they are locked on take 9 or 11 rounds for a height."""


FAILED = (800_477,)
"""Seeds of all faults on which something was wrong once: here a host that proposed after it had decided."""


def _must_hold(seeds: range, wish: Wish) -> list[Report]:
    reports = [run_one(seed, wish) for seed in seeds]
    assert {report.seed: report.violations for report in reports if report.violations} == {}
    assert min(report.heights for report in reports) >= wish.heights
    return reports


@pytest.mark.parametrize("first", range(0, 400, RUNS))
def test_no_rule_is_broken_under_all_faults(first: int) -> None:
    """Four to seven delegates: one block a height, no equivocation, no lock forgotten, and heights decided at last."""
    _must_hold(range(first, first + RUNS), Wish())


@pytest.mark.parametrize("seed", FAILED)
def test_no_rule_is_broken_on_a_seed_that_failed(seed: int) -> None:
    """Each is kept."""
    _must_hold(range(seed, seed + 1), Wish())


@pytest.mark.parametrize("first", range(1_000, 1_060, RUNS))
def test_no_rule_is_broken_where_power_is_skewed(first: int) -> None:
    """Five to nine delegates of very different power, less than a third of it byzantine."""
    for count in (5, 9):
        _must_hold(range(first, first + RUNS // 2), Wish(delegates=count, skewed=True))


@pytest.mark.parametrize("fault", Fault)
def test_no_rule_is_broken_under_one_kind_of_fault(fault: Fault) -> None:
    """Each fault alone, so that no other hides it; it happens, and no other does."""
    wished = {fault, Fault.CRASH} if fault is Fault.TEAR else {fault}
    reports = _must_hold(range(2_012, 2_016), Wish(frozenset(wished)))
    happened = set().union(*(report.happened for report in reports))
    assert {each for each in happened if isinstance(each, Fault)} == wished


@pytest.mark.parametrize("era", [IIP_51, WAKE], ids=lambda era: era.name)
def test_no_rule_is_broken_where_sets_change(era: Parameters) -> None:
    """Members leave and come back, their powers and their order change every few heights, and all else goes wrong."""
    reports = _must_hold(range(5_005, 5_010), Wish(parameters=era, heights=4))
    assert max(report.happened.get(Fault.CHURN, 0) for report in reports) >= 3


@pytest.mark.parametrize("era", [IIP_51, DEVNET, WAKE], ids=lambda era: era.name)
def test_no_rule_is_broken_in_an_era(era: Parameters) -> None:
    """Deadlines by events, by events and as fast as it goes, and by the clock."""
    _must_hold(range(3_000, 3_010), Wish(parameters=era, heights=6))


def test_no_rule_is_broken_by_twenty_four_delegates() -> None:
    """The size of a small active set, up to seven of them byzantine."""
    _must_hold(range(4_000, 4_006), Wish(delegates=24, heights=2))


@pytest.mark.parametrize("seed", KEPT)
def test_locks_that_one_delegate_alone_knows_of_cost_a_round_at_most(seed: int) -> None:
    """On perfect links, one byzantine proposer and one hidden lock make a height take three rounds, no more."""
    report = run_one(seed, HIDDEN_LOCKS)
    assert report.violations == ()
    assert report.most_rounds <= 3


def test_a_calm_network_decides_each_height_in_its_first_round() -> None:
    """Without faults, nobody waits for a second round."""
    for seed in range(10):
        assert run_one(seed, Wish(frozenset(), heights=10)).most_rounds == 1
