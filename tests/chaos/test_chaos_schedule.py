"""The schedule is a function of its seed; every kind has its turn; a pause is over before the next fault."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.chaos.faults import ALL, FIRST_SECONDS, GAP_SECONDS, MARGIN_SECONDS, Fault, FaultKind, schedule

SEEDS = st.integers(-(2**63), 2**63)


@given(SEEDS, st.floats(0, 3600))
def test_the_same_seed_gives_the_same_faults(seed: int, seconds: float) -> None:
    assert schedule(seed, seconds) == schedule(seed, seconds)


def test_other_seeds_give_other_faults() -> None:
    assert len({tuple(schedule(seed, 120.0)) for seed in range(50)}) == 50


def test_a_published_schedule_stays() -> None:
    """People quote a seed in reports: what it means must not change unseen."""
    assert [(each.at, each.kind.value, each.seconds) for each in schedule(1, 30.0)] == [
        (3.25, "raylet-killed", 4.67),
        (9.68, "receiver-slow", 5.78),
        (16.46, "receiver-failing", 3.79),
        (23.55, "rpc-dropping", 4.07),
    ]


@given(SEEDS, st.floats(10, 3600), st.sets(st.sampled_from(ALL), min_size=1))
def test_faults_are_apart_and_within_the_run(seed: int, seconds: float, kinds: set[FaultKind]) -> None:
    faults = schedule(seed, seconds, tuple(kinds))
    assert faults
    assert FIRST_SECONDS[0] <= faults[0].at <= FIRST_SECONDS[1]
    assert faults[-1].at <= seconds
    for one, next_one in pairwise(faults):
        assert GAP_SECONDS[0] - 0.01 <= next_one.at - one.at <= GAP_SECONDS[1] + 0.01
        assert one.at + one.seconds <= next_one.at - MARGIN_SECONDS + 0.02
    assert all(0 <= each.pick < 1 and each.seconds > 0 for each in faults)


@given(SEEDS, st.sets(st.sampled_from(ALL), min_size=1))
def test_each_kind_has_its_turn_before_one_comes_again(seed: int, kinds: set[FaultKind]) -> None:
    drawn = [each.kind for each in schedule(seed, 600.0, tuple(kinds))]
    for start in range(0, len(drawn) - len(kinds) + 1, len(kinds)):
        assert set(drawn[start : start + len(kinds)]) == kinds


@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])
def test_a_run_too_short_has_no_fault(seconds: float) -> None:
    found: list[Fault] = schedule(1, seconds)
    assert found == []
