"""Delegate sets (IIP-51: power decides, their number does not), eras, and the arithmetic of rounds and epochs."""

from __future__ import annotations

import dataclasses

import pytest
from consensus_world import delegate, delegates
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.delegates import MAX_DELEGATES, Delegate, DelegateSet, DelegateSetError
from l1.consensus.machine import Phase
from l1.consensus.parameters import (
    DARDANELLES,
    DEVNET,
    ERAS,
    GENESIS,
    IIP_51,
    WAITING,
    WAKE,
    Pacing,
    Parameters,
    QuorumRule,
    Timing,
)
from l1.consensus.schedule import (
    epoch_of,
    first_height,
    grid,
    next_round_start,
    phase_ends,
    proposer_index,
    round_at,
)

ERAS_OF_IOTEX = [GENESIS, DARDANELLES, WAKE]
POWERS = st.lists(st.integers(1, 10**30), min_size=1, max_size=40)


@given(POWERS, st.data())
def test_a_quorum_is_strictly_more_than_two_thirds_and_a_third_strictly_more_than_one(
    powers: list[int], data: st.DataObject
) -> None:
    made = delegates(*powers)
    signers = data.draw(st.sets(st.integers(0, len(powers) - 1)))
    signed = sum(powers[at] for at in signers)
    assert made.power_of(signers) == signed
    assert (signed >= made.quorum) == (3 * signed > 2 * sum(powers))
    assert (signed >= made.third) == (3 * signed > sum(powers))
    assert 2 * made.quorum - made.total >= made.third, "two quorums share more than a third"


@pytest.mark.parametrize(
    ("powers", "signers", "decides"),
    [
        ((50, 20, 10, 10, 10), (0, 1), True),
        ((50, 20, 10, 10, 10), (1, 2, 3, 4), False),
        ((70, 10, 10, 10), (0,), True),
        ((66, 17, 17), (1, 2), False),
        ((40, 30, 30), (1, 2), False),
        ((40, 30, 30), (0, 1), True),
        ((1, 1, 1), (0, 1), False),
        ((1, 1, 1, 1), (0, 1, 2), True),
        ((2 * 10**27, 10**27), (0,), False),
        ((2 * 10**27 + 1, 10**27), (0,), True),
        ((1_200_000 * 10**18, 600_000 * 10**18 - 1), (0,), True),
    ],
)
def test_power_decides_and_number_is_irrelevant(
    powers: tuple[int, ...], signers: tuple[int, ...], decides: bool
) -> None:
    made = delegates(*powers)
    assert (made.power_of(signers) >= made.quorum) is decides


def test_by_count_two_thirds_are_of_the_configured_seats() -> None:
    members = tuple(delegate(at + 1, 10**18 * (at + 1)) for at in range(24))
    full = DelegateSet(members, QuorumRule.COUNT, 24)
    assert (full.total, full.quorum) == (24, 17)
    assert full.power_of(range(17)) >= full.quorum
    assert full.power_of(range(16)) < full.quorum, "exactly two thirds is too little"
    few = DelegateSet(members[:18], QuorumRule.COUNT, 24)
    assert (few.total, few.quorum) == (24, 17), "17 of 24 also where 18 are there"
    assert DelegateSet(members[:18], QuorumRule.COUNT).quorum == 13


def test_a_member_is_found_by_its_address() -> None:
    made = delegates(1, 2, 3)
    assert [made.index_of(each.address) for each in made.members] == [0, 1, 2]
    assert made.index_of(b"\xff" * 20) is None
    assert len(made) == 3


@given(POWERS)
def test_the_root_binds_every_member_and_their_order(powers: list[int]) -> None:
    made = delegates(*powers)
    assert len(made.root()) == 32
    assert made.root() == delegates(*powers).root()
    first, *others = made.members
    for changed in (
        first._replace(power=first.power + 1),
        first._replace(address=b"\xee" * 20),
        first._replace(key=b"\xee" * 48),
    ):
        assert DelegateSet((changed, *others)).root() != made.root()
    if others:
        assert DelegateSet((*others, first)).root() != made.root()


ONE = delegate(1)


@pytest.mark.parametrize(
    "members",
    [
        (),
        tuple(delegate(at + 1) for at in range(MAX_DELEGATES + 1)),
        (ONE, ONE),
        (ONE, delegate(2)._replace(address=ONE.address)),
        (ONE, delegate(2)._replace(key=ONE.key)),
        (ONE._replace(power=0),),
        (ONE._replace(power=-1),),
        (ONE._replace(address=b"\1" * 19),),
        (ONE._replace(key=b"\1" * 96),),
    ],
    ids=["none", "too-many", "twice", "one-address", "one-key", "no-power", "debt", "short-address", "long-key"],
)
def test_sets_that_decide_nothing_are_refused(members: tuple[Delegate, ...]) -> None:
    with pytest.raises(DelegateSetError):
        DelegateSet(members)


# --- eras ---


@pytest.mark.parametrize(
    ("era", "interval", "phases", "blocks"),
    [
        (GENESIS, 10_000, (4_000, 2_000, 2_000, 2_000), 360),
        (DARDANELLES, 5_000, (2_000, 1_000, 1_000, 1_000), 720),
        (WAKE, 2_500, (800, 800, 450, 450), 1_440),
        (IIP_51, 2_500, (800, 800, 450, 450), 1_440),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_an_era_has_the_times_of_its_genesis(
    era: Parameters, interval: int, phases: tuple[int, ...], blocks: int
) -> None:
    assert era.timing.interval == interval
    assert tuple(era.timing.duration(phase) for phase in WAITING) == phases
    assert era.blocks_per_epoch == blocks
    assert era.blocks_per_epoch * era.timing.interval == 3_600_000, "an epoch is an hour"
    assert ERAS[era.name] is era
    assert era.timing.tolerated_overtime == 2_000


@pytest.mark.parametrize(
    "change",
    [
        {"interval": 0},
        {"interval": 2_499},
        {"accept_block_proposal": 0},
        {"accept_block_proposal": 801},
        {"accept_proposal_endorsement": -1},
        {"accept_lock_endorsement": 0},
        {"accept_precommit_endorsement": 0},
        {"growth": -1},
        {"idle": -1},
        {"tolerated_overtime": -1},
        {"resend": -1},
    ],
)
def test_times_that_do_not_fit_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"interval|negative|millisecond"):
        dataclasses.replace(WAKE.timing, **change)  # type: ignore[arg-type]


def test_phases_longer_than_the_interval_are_for_deadlines_by_events() -> None:
    assert dataclasses.replace(WAKE.timing, interval=100, pacing=Pacing.EVENT).interval == 100
    assert DEVNET.timing.interval < DEVNET.timing.accept_block_proposal


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.DECIDED])
def test_a_phase_that_does_not_wait_has_no_time(phase: Phase) -> None:
    with pytest.raises(KeyError):
        WAKE.timing.duration(phase)


# --- rounds ---

LAST = 1_000_000


@pytest.mark.parametrize(
    ("era", "since", "round_"),
    [
        # duration <= interval: round 0. Else duration / interval, less one within 2 s of overtime (roundcalculator.go).
        (WAKE, 1, 0),
        (WAKE, 2_500, 0),
        (WAKE, 2_501, 0),
        (WAKE, 4_499, 0),
        (WAKE, 4_500, 1),
        (WAKE, 5_000, 1),
        (WAKE, 6_999, 1),
        (WAKE, 7_000, 2),
        (WAKE, 86_400_000, 34_559),
        (DARDANELLES, 5_000, 0),
        (DARDANELLES, 6_999, 0),
        (DARDANELLES, 7_000, 1),
        (DARDANELLES, 11_999, 1),
        (DARDANELLES, 12_000, 2),
        (GENESIS, 10_000, 0),
        (GENESIS, 11_999, 0),
        (GENESIS, 12_000, 1),
        (GENESIS, 21_999, 1),
        (GENESIS, 22_000, 2),
    ],
)
def test_the_round_by_the_clock(era: Parameters, since: int, round_: int) -> None:
    assert round_at(LAST + since, LAST, era.timing) == (round_, LAST + (round_ + 1) * era.timing.interval)


def test_without_tolerated_overtime_a_round_is_joined_from_its_end_on() -> None:
    timing = dataclasses.replace(WAKE.timing, tolerated_overtime=0)
    assert [round_at(LAST + since, LAST, timing)[0] for since in (2_500, 2_501, 4_999, 5_000, 7_499)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("now", [LAST, LAST - 1, 0])
def test_a_time_that_is_not_after_the_last_block_is_refused(now: int) -> None:
    with pytest.raises(ValueError, match="not after"):
        round_at(now, LAST, WAKE.timing)


@given(st.sampled_from(ERAS_OF_IOTEX), st.integers(1, 10**9), st.integers(1, 10**6))
def test_rounds_by_the_clock_only_grow_and_start_on_the_grid(era: Parameters, since: int, more: int) -> None:
    round_, starts = round_at(LAST + since, LAST, era.timing)
    later, _ = round_at(LAST + since + more, LAST, era.timing)
    assert 0 <= round_ <= later
    assert (starts - LAST) % era.timing.interval == 0
    assert starts + era.timing.interval > LAST + since, "it is not over"
    assert next_round_start(round_, LAST, 0, era.timing) == starts


@given(st.sampled_from(ERAS_OF_IOTEX), st.integers(0, 10**12), st.integers(0, 10**9))
def test_the_grid_is_the_last_point_at_or_before_a_blocks_time(era: Parameters, genesis: int, since: int) -> None:
    point = grid(genesis + since, genesis, era.timing)
    assert (point - genesis) % era.timing.interval == 0
    assert 0 <= genesis + since - point < era.timing.interval


@pytest.mark.parametrize(
    ("era", "ends"),
    [
        (GENESIS, (4_000, 6_000, 8_000, 10_000)),
        (DARDANELLES, (2_000, 3_000, 4_000, 5_000)),
        (WAKE, (800, 1_600, 2_050, 2_500)),
    ],
    ids=["genesis", "dardanelles", "wake"],
)
def test_by_the_clock_phases_end_one_after_the_other_from_the_rounds_start(
    era: Parameters, ends: tuple[int, ...]
) -> None:
    assert tuple(phase_ends(phase, 3, 50_000, 1, era.timing) - 50_000 for phase in WAITING) == ends


@pytest.mark.parametrize(("round_", "ends"), [(0, 800), (1, 1_200), (2, 1_600), (10, 4_800)])
def test_by_events_a_phase_takes_half_as_long_again_each_round(round_: int, ends: int) -> None:
    assert phase_ends(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, round_, 0, 7_000, IIP_51.timing) == 7_000 + ends


def test_only_the_first_rounds_proposer_may_wait_for_work() -> None:
    assert phase_ends(Phase.ACCEPT_BLOCK_PROPOSAL, 0, 0, 0, DEVNET.timing) == 5_800
    assert phase_ends(Phase.ACCEPT_BLOCK_PROPOSAL, 1, 0, 0, DEVNET.timing) == 1_200
    assert phase_ends(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 0, 0, 0, DEVNET.timing) == 800


def test_by_events_the_next_round_starts_at_once() -> None:
    assert next_round_start(4, 0, 9_876, IIP_51.timing) == 9_876


# --- epochs and proposers ---


@pytest.mark.parametrize(
    ("era", "height", "epoch"),
    [
        (GENESIS, 0, 0),
        (GENESIS, 1, 1),
        (GENESIS, 360, 1),
        (GENESIS, 361, 2),
        (DARDANELLES, 720, 1),
        (DARDANELLES, 721, 2),
        (WAKE, 1_440, 1),
        (WAKE, 1_441, 2),
        (WAKE, 2_881, 3),
    ],
)
def test_epochs(era: Parameters, height: int, epoch: int) -> None:
    assert epoch_of(height, era) == epoch


@given(st.sampled_from(list(ERAS.values())), st.integers(1, 10**9))
def test_an_epochs_first_height_is_in_it_and_the_one_before_is_not(era: Parameters, epoch: int) -> None:
    first = first_height(epoch, era)
    assert epoch_of(first, era) == epoch
    assert epoch_of(first - 1, era) == epoch - 1


@pytest.mark.parametrize(("height", "round_", "index"), [(1, 0, 1), (24, 0, 0), (23, 1, 0), (41_648_761, 2, 3)])
def test_iotex_rotates_by_the_absolute_height(height: int, round_: int, index: int) -> None:
    assert proposer_index(height, round_, 24, WAKE) == index


@pytest.mark.parametrize(
    ("height", "round_", "index"), [(1, 0, 0), (2, 0, 1), (1_440, 0, 11), (1_441, 0, 0), (1, 85, 1)]
)
def test_ours_rotates_from_the_epochs_first_height(height: int, round_: int, index: int) -> None:
    assert proposer_index(height, round_, 84, IIP_51) == index


@given(st.sampled_from(list(ERAS.values())), st.integers(1, 10**9), st.integers(1, 144))
def test_everybody_proposes_once_before_anybody_proposes_again(era: Parameters, height: int, count: int) -> None:
    assert sorted(proposer_index(height, round_, count, era) for round_ in range(count)) == list(range(count))


def test_timing_of_a_made_up_era_is_its_own() -> None:
    assert Timing(100, 25, 25, 25, 25).duration(Phase.ACCEPT_LOCK_ENDORSEMENT) == 25
