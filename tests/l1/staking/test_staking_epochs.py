"""Polls, productivity, probation, slashing and rewards over epochs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staking_world import START, account, keys, operator, registered, reward, with_candidates

from l1.staking import buckets
from l1.staking.election import Election, elect, put_poll
from l1.staking.epoch_end import base_fees, claim, end_epoch, fund_pool, slash
from l1.staking.parameters import IIP_50, IIP_53, IOTX, WAKE, Parameters
from l1.staking.productivity import expected_blocks, is_unproductive, produced_blocks
from l1.staking.ranking import on_probation, rank
from l1.staking.refusal import StakingRefused
from l1.staking.sampling import delegate_order
from l1.staking.state import Candidate, Poll, Seat, StakingState

HASH = bytes(range(32))


def polled(state: StakingState, epoch: int, parameters: Parameters = IIP_53) -> StakingState:
    election = elect(parameters, state, epoch, HASH)
    return put_poll(state, election.poll)


def rewarded(state: StakingState, number: int) -> int:
    return state.unclaimed.get(reward(number), 0)


def full(state: StakingState, epoch: int, parameters: Parameters = IIP_53) -> list[int]:
    """Everybody produces what is expected."""
    return list(expected_blocks(parameters, epoch, len(state.polls[epoch].seats)))


def ended(state: StakingState, epoch: int, missed: dict[bytes, int], parameters: Parameters = IIP_53) -> StakingState:
    counts = full(state, epoch, parameters)
    for place, seat in enumerate(state.polls[epoch].seats):
        counts[place] -= missed.get(seat.candidate, 0)
    return end_epoch(parameters, state, epoch, counts)


# --- epochs ---


@given(st.integers(1, 10**9))
def test_heights_and_epochs(height: int) -> None:
    epoch = IIP_53.epoch_of(height)
    assert IIP_53.first_height(epoch) <= height <= IIP_53.last_height(epoch)
    assert IIP_53.first_height(epoch) + 720 == IIP_53.poll_height(epoch)
    assert IIP_53.last_height(epoch) + 1 == IIP_53.first_height(epoch + 1)


def test_the_genesis_block_is_in_no_epoch() -> None:
    with pytest.raises(ValueError, match="height 0"):
        IIP_53.epoch_of(0)


# --- productivity ---


@given(
    blocks=st.integers(1, 3_000),
    epoch=st.integers(1, 10**6),
    delegates=st.integers(1, 144),
    era=st.sampled_from([IIP_53, WAKE]),
)
@settings(max_examples=60)
def test_expected_slots_are_those_of_the_proposer_rule(
    blocks: int, epoch: int, delegates: int, era: Parameters
) -> None:
    parameters = replace(era, blocks_per_epoch=blocks)
    counts = [0] * delegates
    first = parameters.first_height(epoch)
    for height in range(first, parameters.last_height(epoch) + 1):
        counts[(height - first if era is IIP_53 else height) % delegates] += 1
    assert expected_blocks(parameters, epoch, delegates) == tuple(counts)


def test_iotex_cores_division_is_the_same_for_24() -> None:
    assert expected_blocks(WAKE, 7, 24) == (60,) * 24
    assert sorted(set(expected_blocks(IIP_53, 7, 84))) == [17, 18]


def test_the_threshold_is_51_of_60() -> None:
    assert is_unproductive(IIP_53, 50, 60)
    assert not is_unproductive(IIP_53, 51, 60)
    assert not is_unproductive(IIP_53, 0, 0)


def test_blocks_are_counted_by_beneficiary() -> None:
    seats = tuple(Seat(account(number), operator(number), 1, b"") for number in range(3))
    assert produced_blocks(seats, [operator(2), operator(0), operator(2)]) == (1, 0, 2)
    with pytest.raises(ValueError, match="has no seat"):
        produced_blocks(seats, [operator(3)])


# --- polls ---


def test_the_set_of_iip_53() -> None:
    state = with_candidates(37)
    election = elect(IIP_53, state, 5, HASH)
    assert not election.degraded
    assert len(election.delegates) == 36
    assert len(election.poll.ranking) == 37
    operators = [delegate.address for delegate in election.delegates]
    assert delegate_order(operators, HASH, IIP_53.first_height(5)) == list(range(36))
    powers = {delegate.power for delegate in election.delegates}
    assert powers == {state.candidates[account(0)].votes}
    by_operator = {operator(number): keys(number).public for number in range(37)}
    assert all(delegate.key == by_operator[delegate.address] for delegate in election.delegates)
    assert elect(IIP_53, state, 5, HASH) == election
    other = elect(IIP_53, state, 5, bytes(32))
    assert other.poll.seats != election.poll.seats


def test_the_set_of_mainnet_is_24_by_hash_of_the_top_36() -> None:
    state = StakingState()
    for number in range(40):
        state = registered(state, number, stake=(2_000_000 + number * 1_000) * IOTX, parameters=WAKE)
    election = elect(WAKE, state, 5, HASH)
    top = [operator(number) for number in range(39, 3, -1)]
    expected = [top[at] for at in delegate_order(top, bytes.fromhex("1234567890abcdef"), WAKE.first_height(5))][:24]
    assert [delegate.address for delegate in election.delegates] == expected
    assert election == elect(WAKE, state, 5, bytes(32))


def test_a_small_set_is_degraded() -> None:
    election = elect(IIP_53, with_candidates(3), 2, HASH)
    assert election.degraded
    assert len(election.delegates) == 3


def test_nobody_qualifies() -> None:
    assert elect(IIP_53, StakingState(), 2, HASH) == Election(Poll(2, (), ()), degraded=True)
    empty = put_poll(StakingState(), Poll(2, (), ()))
    assert elect(IIP_53, empty, 3, HASH) == Election(Poll(3, (), ()), degraded=True)
    with pytest.raises(StakingRefused, match="PollUnknown"):
        end_epoch(IIP_53, empty, 2, [])
    poll = Poll(4, (Seat(account(0), operator(0), 7, keys(0).public),), ((account(0), 7),))
    again = elect(IIP_53, put_poll(StakingState(), poll), 5, HASH)
    assert again == Election(replace(poll, epoch=5), degraded=True)


def test_an_epoch_is_polled_once_and_old_polls_are_forgotten() -> None:
    state = polled(with_candidates(2), 2)
    with pytest.raises(StakingRefused, match="PollExists"):
        polled(state, 2)
    assert sorted(polled(polled(state, 3), 4).polls) == [3, 4]


VOTING = Candidate(account(0), operator(0), reward(0), keys(0).public, 2_000_000 * IOTX, 0, IIP_53.register_self_stake)


@pytest.mark.parametrize(
    ("changes", "elected"),
    [
        ({}, True),
        ({"self_stake": IIP_53.active_self_stake}, True),
        ({"self_stake": IIP_53.active_self_stake - 1}, False),
        ({"votes": 2_000_000 * IOTX - 1}, False),
        ({"disqualified": True}, False),
        ({"self_stake_bucket": None}, False),
        ({"bls_key": b""}, False),
    ],
)
def test_who_is_elected(changes: dict[str, object], elected: bool) -> None:
    state = StakingState().with_candidate(replace(VOTING, **changes))  # type: ignore[arg-type]
    assert len(rank(IIP_53, state, 2)) == elected


def test_the_mainnet_sets_neither_need_keys_nor_remember_disqualification() -> None:
    candidate = replace(VOTING, disqualified=True, bls_key=b"", self_stake=1_000_000 * IOTX)
    state = StakingState().with_candidate(candidate)
    assert len(rank(IIP_50, state, 2)) == 1
    assert len(rank(WAKE, state, 2)) == 0
    state = StakingState().with_candidate(replace(candidate, self_stake=1_000_000 * IOTX - 1))
    assert len(rank(IIP_50, state, 2)) == 0


# --- probation ---


def test_six_polls_count_an_unproductive_epoch() -> None:
    candidate = replace(VOTING, last_unproductive=10)
    counted = [epoch for epoch in range(11, 30) if on_probation(IIP_53, candidate, epoch)]
    # The poll for 12 is taken in 11, the first epoch after; the poll for 17 in 16.
    assert [epoch - 1 for epoch in counted if epoch > 11] == [11, 12, 13, 14, 15, 16]
    state = StakingState().with_candidate(candidate)
    assert rank(IIP_53, state, 12)[0][1] == 200_000 * IOTX
    assert rank(IIP_53, state, 18)[0][1] == 2_000_000 * IOTX
    hard = replace(IIP_53, probation_intensity=100)
    assert rank(hard, state, 12) == ()


# --- the end of an epoch ---


def test_penalty_timing_over_three_epochs() -> None:
    # A stake exactly at the edge: one rau of penalty disqualifies. Others keep the set alive.
    state = registered(with_candidates(24), 24, stake=IIP_53.register_self_stake)
    state = buckets.create_bucket(
        IIP_53, state, START, account(900), candidate=account(24), value=3_000_000 * IOTX, days=0, auto_stake=False
    )
    state = slash(IIP_53, state, account(24), IIP_53.register_self_stake - IIP_53.active_self_stake)
    assert not state.candidates[account(24)].disqualified

    def seated(state: StakingState, epoch: int) -> bool:
        return account(24) in {seat.candidate for seat in state.polls[epoch].seats}

    state = polled(state, 10)
    assert seated(state, 10)
    # E = 10: polled for 11 before the penalty, so it still serves 11.
    state = polled(state, 11)
    state = ended(state, 10, {account(24): 40})
    assert state.candidates[account(24)].disqualified
    assert seated(state, 11)
    # E + 1: not in the poll for E + 2.
    state = polled(state, 12)
    assert not seated(state, 12)
    # Recovery needs the register minimum, not only the active one.
    missing = IIP_53.register_self_stake - state.candidates[account(24)].self_stake
    state = buckets.deposit(IIP_53, state, account(24), index=24, value=missing - 1)
    assert state.candidates[account(24)].disqualified
    state = buckets.deposit(IIP_53, state, account(24), index=24, value=1)
    assert not state.candidates[account(24)].disqualified
    assert account(24) in {candidate.identity for candidate, _ in rank(IIP_53, state, 13)}


@pytest.mark.parametrize(("missed", "penalty"), [(9, 0), (10, 40), (60, 240)])
def test_a_penalty_is_four_iotx_for_each_missed_block(missed: int, penalty: int) -> None:
    state = polled(with_candidates(24), 2)
    after = ended(state, 2, {account(3): missed})
    candidate = after.candidates[account(3)]
    assert candidate.self_stake == (2_000_000 - penalty) * IOTX
    assert after.buckets[3].amount == candidate.self_stake
    assert candidate.votes == after.buckets[3].votes(True)
    assert candidate.last_unproductive == (2 if penalty else 0)
    assert after.total == state.total


def test_wake_has_probation_and_no_penalty() -> None:
    state = polled(with_candidates(24, parameters=WAKE), 2, WAKE)
    after = ended(state, 2, {account(3): 60}, WAKE)
    assert after.candidates[account(3)].last_unproductive == 2
    assert after.buckets == state.buckets


def test_a_penalty_is_clamped_and_skipped_without_self_stake() -> None:
    state = with_candidates(1)
    empty = slash(IIP_53, state, account(0), 10**30)
    assert empty.buckets[0].amount == empty.candidates[account(0)].votes == 0
    assert empty.total == state.total
    bare = registered(StakingState(), 0, stake=0)
    assert slash(IIP_53, bare, account(0), IOTX) == bare


def test_rewards_of_an_epoch() -> None:
    state = fund_pool(registered(with_candidates(1), 1, stake=6_000_000 * IOTX), 1_000_000 * IOTX)
    state = polled(state, 2)
    after = end_epoch(IIP_53, state, 2, full(state, 2))
    votes = [state.candidates[account(number)].votes for number in (0, 1)]
    for number in (0, 1):
        shared = 18_750 * IOTX * votes[number] // sum(votes)
        assert rewarded(after, number) == 720 * 4 * IOTX + shared
    assert after.total == state.total
    paid, amount = claim(after, reward(0))
    assert amount == rewarded(after, 0)
    assert paid.total == after.total - amount
    with pytest.raises(StakingRefused, match="NothingToClaim"):
        claim(paid, reward(0))


def test_the_top_hundred_share_and_the_exempt_do_not() -> None:
    """Who is exempt takes nobody's place: here two share, and the first of four is exempt."""
    parameters = replace(IIP_53, epoch_reward_delegates=2, epoch_reward_exempt=frozenset({account(0)}), block_reward=0)
    state = StakingState()
    for number in range(4):
        state = registered(state, number, stake=(4_000_000 - number * 100_000) * IOTX)
    state = polled(fund_pool(state, 10**6 * IOTX), 2, parameters)
    after = ended(state, 2, {}, parameters)
    assert set(after.unclaimed) == {reward(1), reward(2)}
    assert 18_750 * IOTX - 2 < sum(after.unclaimed.values()) <= 18_750 * IOTX


def test_mainnets_daily_rewards() -> None:
    state = polled(fund_pool(with_candidates(24), 10**6 * IOTX), 2)
    after = ended(state, 2, {})
    # 588,240 IOTX a day, less what the shares of the epoch reward were rounded by.
    rounded = 588_240 * IOTX - 24 * (state.pool - after.pool)
    assert 0 <= rounded < 24 * 24


def test_an_empty_pool_pays_what_it_has() -> None:
    state = polled(replace(with_candidates(24), pool=10 * IOTX), 2)
    after = ended(state, 2, {})
    assert after.pool == 0
    assert sum(after.unclaimed.values()) == 10 * IOTX


def test_refused_ends() -> None:
    state = polled(with_candidates(24), 2)

    def refused(reason: str, state: StakingState, epoch: int, counts: list[int]) -> None:
        with pytest.raises(StakingRefused, match=reason):
            end_epoch(IIP_53, state, epoch, counts)

    refused("PollUnknown", state, 3, [60] * 24)
    refused("CountsInvalid", state, 2, [60] * 23)
    refused("CountsInvalid", state, 2, [61] + [60] * 23)
    refused("CountsInvalid", state, 2, [-1] + [60] * 23)
    refused("EpochAlreadyEnded", end_epoch(IIP_53, state, 2, [60] * 24), 2, [60] * 24)


def test_base_fees_go_into_the_pool() -> None:
    state = fund_pool(StakingState(), base_fees(21_000, 10**12))
    assert state.pool == 21 * 10**15
