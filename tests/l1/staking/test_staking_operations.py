"""Buckets, candidates, endorsements and exits: what each operation does, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from staking_world import START, account, keys, operator, registered, reward, with_candidates

from l1.staking import buckets, candidates, exits
from l1.staking.parameters import DAY, IIP_50, IIP_53, IOTX, WAKE, Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import BlockContext, StakingState
from l1.staking.weight import votes_of

VOTER = account(900)
STAKE = 2_000_000 * IOTX


def later(seconds: int, blocks: int = 1) -> BlockContext:
    return BlockContext(START.height + blocks, START.timestamp + seconds)


def refused(reason: str, operation: Callable[[], object]) -> None:
    with pytest.raises(StakingRefused) as caught:
        operation()
    assert caught.value.reason == reason


def voted(state: StakingState, *, value: int = 500 * IOTX, days: int = 10, auto_stake: bool = False) -> StakingState:
    return buckets.create_bucket(
        IIP_53, state, START, VOTER, candidate=account(0), value=value, days=days, auto_stake=auto_stake
    )


# --- buckets ---


def test_a_bucket_votes_for_its_candidate() -> None:
    state = voted(with_candidates(1))
    assert state.buckets[1].owner == VOTER
    assert state.candidates[account(0)].votes == votes_of(STAKE, 91, True, True) + votes_of(
        500 * IOTX, 10, False, False
    )
    assert state.candidates[account(0)].self_stake == STAKE
    assert state.next_bucket == 2


def test_refused_buckets() -> None:
    state = with_candidates(1)

    def create(candidate: bytes = account(0), value: int = 100 * IOTX, days: int = 1) -> StakingState:
        return buckets.create_bucket(
            IIP_53, state, START, VOTER, candidate=candidate, value=value, days=days, auto_stake=False
        )

    assert create(days=1050).buckets[1].amount == 100 * IOTX
    refused("CandidateUnknown", lambda: create(candidate=account(5)))
    refused("AmountTooSmall", lambda: create(value=100 * IOTX - 1))
    refused("DurationTooLong", lambda: create(days=1051))
    refused("DurationTooLong", lambda: create(days=-1))


def test_deposits_need_auto_stake_and_are_open_to_all() -> None:
    state = voted(with_candidates(1), auto_stake=True)
    richer = buckets.deposit(IIP_53, state, account(7), index=1, value=5)
    assert richer.buckets[1].amount == 500 * IOTX + 5
    assert richer.total == state.total + 5
    refused("AmountTooSmall", lambda: buckets.deposit(IIP_53, state, VOTER, index=1, value=0))
    refused("BucketUnknown", lambda: buckets.deposit(IIP_53, state, VOTER, index=2, value=1))
    running = buckets.restake(IIP_53, state, START, VOTER, index=1, days=10, auto_stake=False)
    refused("AutoStakeOff", lambda: buckets.deposit(IIP_53, running, VOTER, index=1, value=1))
    gone = buckets.unstake(running, later(10 * DAY), VOTER, index=1)
    refused("BucketUnstaked", lambda: buckets.deposit(IIP_53, gone, VOTER, index=1, value=1))


def test_a_duration_is_shortened_only_when_it_is_over() -> None:
    state = voted(with_candidates(1), auto_stake=True)

    def restake(state: StakingState, days: int, block: BlockContext = START, caller: bytes = VOTER) -> StakingState:
        return buckets.restake(IIP_53, state, block, caller, index=1, days=days, auto_stake=False)

    refused("AutoStakeOn", lambda: restake(state, 9))
    running = restake(state, 10)
    refused("NotMatured", lambda: restake(running, 9, later(10 * DAY - 1)))
    shorter = restake(running, 9, later(10 * DAY))
    assert shorter.buckets[1].days == 9
    assert shorter.buckets[1].started_at == START.timestamp + 10 * DAY
    assert restake(running, 20).buckets[1].days == 20
    refused("DurationTooLong", lambda: restake(running, 1051))
    refused("NotBucketOwner", lambda: restake(running, 20, caller=account(1)))
    refused("BucketUnstaked", lambda: restake(buckets.unstake(running, later(10 * DAY), VOTER, index=1), 20))


def test_unstaking_waits_for_maturity_and_withdrawal_for_three_days() -> None:
    state = voted(with_candidates(1))
    base = state.candidates[account(0)].votes
    refused("NotMatured", lambda: buckets.unstake(state, later(10 * DAY - 1), VOTER, index=1))
    refused("NotBucketOwner", lambda: buckets.unstake(state, later(10 * DAY), account(1), index=1))
    refused("BucketStaked", lambda: buckets.withdraw(IIP_53, state, START, VOTER, index=1))
    gone = buckets.unstake(state, later(10 * DAY), VOTER, index=1)
    assert gone.candidates[account(0)].votes == base - votes_of(500 * IOTX, 10, False, False)
    refused("BucketUnstaked", lambda: buckets.unstake(gone, later(10 * DAY), VOTER, index=1))
    refused("WithdrawTooEarly", lambda: buckets.withdraw(IIP_53, gone, later(13 * DAY - 1), VOTER, index=1))
    refused("NotBucketOwner", lambda: buckets.withdraw(IIP_53, gone, later(13 * DAY), account(1), index=1))
    empty, paid = buckets.withdraw(IIP_53, gone, later(13 * DAY), VOTER, index=1)
    assert paid == 500 * IOTX
    assert empty.total == state.total - paid
    refused("BucketUnknown", lambda: buckets.withdraw(IIP_53, empty, later(13 * DAY), VOTER, index=1))
    auto = voted(with_candidates(1), auto_stake=True)
    refused("AutoStakeOn", lambda: buckets.unstake(auto, later(99 * DAY), VOTER, index=1))


def test_votes_move_to_another_candidate() -> None:
    state = voted(with_candidates(2))
    index = state.next_bucket - 1
    moved = buckets.change_candidate(state, VOTER, index=index, candidate=account(1))
    votes = votes_of(500 * IOTX, 10, False, False)
    assert moved.candidates[account(0)].votes == state.candidates[account(0)].votes - votes
    assert moved.candidates[account(1)].votes == state.candidates[account(1)].votes + votes
    refused("SameCandidate", lambda: buckets.change_candidate(moved, VOTER, index=index, candidate=account(1)))
    refused("CandidateUnknown", lambda: buckets.change_candidate(moved, VOTER, index=index, candidate=account(5)))
    refused("NotBucketOwner", lambda: buckets.change_candidate(moved, account(1), index=index, candidate=account(0)))
    refused("SelfStakeLocked", lambda: buckets.change_candidate(state, account(0), index=0, candidate=account(1)))
    gone = buckets.unstake(moved, later(10 * DAY), VOTER, index=index)
    refused("BucketUnstaked", lambda: buckets.change_candidate(gone, VOTER, index=index, candidate=account(0)))


# --- candidates ---


def register(state: StakingState, number: int, parameters: Parameters = IIP_53, **changes: object) -> StakingState:
    arguments: dict[str, object] = {
        "operator": operator(number),
        "reward": reward(number),
        "bls_key": keys(number).public,
        "possession": keys(number).possession,
        "value": parameters.registration_fee + parameters.register_self_stake,
        "days": 91,
        "auto_stake": True,
    }
    return candidates.register(parameters, state, START, account(number), **(arguments | changes))  # type: ignore[arg-type]


def test_registration_takes_the_fee_and_the_self_stake() -> None:
    state = register(StakingState(), 0)
    assert state.pool == 100 * IOTX
    candidate = state.candidates[account(0)]
    assert candidate.self_stake == 400_000 * IOTX
    assert candidate.votes == votes_of(400_000 * IOTX, 91, True, True)
    assert state.total == 400_100 * IOTX
    unstaked = register(StakingState(), 0, value=100 * IOTX).candidates[account(0)]
    assert (unstaked.self_stake_bucket, unstaked.votes) == (None, 0)


def test_refused_registrations() -> None:
    state = register(StakingState(), 0)
    refused("CandidateExists", lambda: register(state, 0))
    refused("AmountTooSmall", lambda: register(state, 1, value=100 * IOTX - 1))
    refused("SelfStakeTooSmall", lambda: register(state, 1, value=400_100 * IOTX - 1))
    refused("SelfStakeTooSmall", lambda: register(state, 1, value=100 * IOTX + 1))
    refused("OperatorTaken", lambda: register(state, 1, operator=operator(0)))
    refused("ZeroAddress", lambda: register(state, 1, operator=bytes(20)))
    refused("ZeroAddress", lambda: register(state, 1, reward=bytes(20)))
    refused("ZeroAddress", lambda: register(state, 1, reward=b"\x01"))
    refused("DurationTooLong", lambda: register(state, 1, days=2000))


def test_refused_keys() -> None:
    state = register(StakingState(), 0)
    infinity = bytes([0xC0]) + bytes(47)
    refused("KeyTaken", lambda: register(state, 1, bls_key=keys(0).public, possession=keys(0).possession))
    refused("PossessionUnproven", lambda: register(state, 1, possession=keys(2).possession))
    # A signature of the key itself, under the ciphersuite of votes, proves nothing.
    signed = keys(1).secret.sign(keys(1).public)
    refused("PossessionUnproven", lambda: register(state, 1, possession=signed))
    refused("KeyInvalid", lambda: register(state, 1, possession=b""))
    refused("KeyInvalid", lambda: register(state, 1, bls_key=b""))
    refused("KeyInvalid", lambda: register(state, 1, bls_key=infinity))
    refused("KeyInvalid", lambda: register(state, 1, bls_key=keys(1).public[:-1]))
    flipped = bytes([keys(1).public[0] ^ 0x20]) + keys(1).public[1:]
    refused("PossessionUnproven", lambda: register(state, 1, bls_key=flipped))
    assert register(StakingState(), 0, WAKE, bls_key=b"").candidates[account(0)].bls_key == b""


def test_updates_replace_operator_reward_and_key() -> None:
    state = with_candidates(2)

    def update(state: StakingState, **changes: bytes) -> StakingState:
        arguments = {"operator": operator(0), "reward": reward(0)} | changes
        return candidates.update(IIP_53, state, account(0), **arguments)

    changed = update(
        state, operator=operator(8), reward=reward(8), bls_key=keys(8).public, possession=keys(8).possession
    )
    candidate = changed.candidates[account(0)]
    assert (candidate.operator, candidate.reward, candidate.bls_key) == (operator(8), reward(8), keys(8).public)
    assert changed.operators == {operator(8): account(0), operator(1): account(1)}
    assert update(state).candidates == state.candidates
    # A key that was given up stays its owner's, so that old votes still convict.
    refused("KeyTaken", lambda: update(changed, bls_key=keys(0).public, possession=keys(0).possession))
    refused("KeyTaken", lambda: update(state, bls_key=keys(1).public, possession=keys(1).possession))
    refused("OperatorTaken", lambda: update(state, operator=operator(1)))
    refused("ZeroAddress", lambda: update(state, reward=bytes(20)))
    refused("PossessionUnproven", lambda: update(state, bls_key=keys(8).public, possession=keys(1).possession))
    refused("CandidateUnknown", lambda: candidates.update(IIP_53, state, VOTER, operator=operator(9), reward=reward(9)))


# --- endorsement ---


def endorsed(*, value: int = 400_000 * IOTX) -> StakingState:
    """Candidate 0 without self-stake, and bucket 0 of the voter, endorsed."""
    state = registered(StakingState(), 0, stake=0)
    state = voted(state, value=value)
    return candidates.endorse(IIP_53, state, VOTER, index=0)


def activate(state: StakingState, index: int = 0, block: BlockContext = START, number: int = 0) -> StakingState:
    return candidates.activate(IIP_53, state, block, account(number), index=index)


def test_an_endorsed_bucket_becomes_the_self_stake() -> None:
    state = activate(endorsed())
    candidate = state.candidates[account(0)]
    assert (candidate.self_stake_bucket, candidate.self_stake) == (0, 400_000 * IOTX)
    refused("SelfStakeLocked", lambda: activate(state))
    refused("SelfStakeLocked", lambda: buckets.unstake(state, later(10 * DAY), VOTER, index=0))
    refused("SelfStakeLocked", lambda: candidates.endorse(IIP_53, state, VOTER, index=0))


def test_refused_endorsements_and_activations() -> None:
    state = endorsed()
    refused("EndorsementActive", lambda: candidates.endorse(IIP_53, state, VOTER, index=0))
    refused("NotBucketOwner", lambda: candidates.endorse(IIP_53, state, account(0), index=0))
    refused("EndorsementActive", lambda: buckets.unstake(state, later(10 * DAY), VOTER, index=0))
    small = voted(registered(StakingState(), 0, stake=0), value=400_000 * IOTX - 1)
    refused("SelfStakeTooSmall", lambda: candidates.endorse(IIP_53, small, VOTER, index=0))
    refused("SelfStakeTooSmall", lambda: activate(small))
    plain = voted(registered(StakingState(), 0, stake=0), value=400_000 * IOTX)
    refused("NotEndorsed", lambda: activate(plain))
    gone = buckets.unstake(plain, later(10 * DAY), VOTER, index=0)
    refused("BucketUnstaked", lambda: activate(gone))
    refused("BucketUnstaked", lambda: candidates.endorse(IIP_53, gone, VOTER, index=0))
    refused("BucketUnknown", lambda: activate(plain, 5))
    two = registered(state, 1, stake=0)
    refused("WrongCandidate", lambda: activate(two, number=1))
    refused("EndorsementActive", lambda: buckets.change_candidate(two, VOTER, index=0, candidate=account(1)))
    refused("CandidateUnknown", lambda: activate(state, number=3))
    leaving = exits.request_exit(activate(state), account(0))
    own = buckets.create_bucket(
        IIP_53, leaving, START, account(0), candidate=account(0), value=STAKE, days=0, auto_stake=False
    )
    refused("ExitPending", lambda: activate(own, 1))


def notice(state: StakingState, block: BlockContext = START, caller: bytes = VOTER) -> StakingState:
    return candidates.give_notice(IIP_53, state, block, caller, index=0)


def revoke(state: StakingState, block: BlockContext) -> StakingState:
    return candidates.revoke_endorsement(IIP_53, state, block, VOTER, index=0)


def test_an_unused_endorsement_ends_at_once() -> None:
    state = endorsed()
    refused("EndorsementActive", lambda: revoke(state, START))
    refused("NotBucketOwner", lambda: notice(state, caller=account(0)))
    noticed = notice(state)
    refused("NotEndorsed", lambda: notice(noticed))
    refused("NotEndorsed", lambda: activate(noticed))
    freed = revoke(noticed, START)
    assert freed.buckets[0].endorsed_until is None
    refused("NotEndorsed", lambda: revoke(freed, START))


def test_an_endorsement_in_use_ends_by_the_exit_queue() -> None:
    state = notice(activate(endorsed()))
    refused("EndorsementActive", lambda: revoke(state, later(0, 17_279)))
    leaving = revoke(state, later(0, 17_280))
    assert leaving.candidates[account(0)].exit is not None
    assert leaving.buckets[0].endorsed_until is not None
    refused("ExitNotDue", lambda: revoke(leaving, later(0, 17_281)))
    admitted = exits.admit_exit(IIP_53, leaving, 14)
    first = IIP_53.first_height(14 + 24)
    refused("ExitNotDue", lambda: revoke(admitted, BlockContext(first - 1, START.timestamp)))
    freed = revoke(admitted, BlockContext(first, START.timestamp))
    assert freed.buckets[0].endorsed_until is None
    assert freed.candidates[account(0)].self_stake_bucket is None


def test_another_bucket_may_take_the_self_stakes_place() -> None:
    state = buckets.create_bucket(
        IIP_53, with_candidates(1), START, account(0), candidate=account(0), value=STAKE, days=350, auto_stake=True
    )
    swapped = activate(state, 1)
    assert swapped.candidates[account(0)].votes == votes_of(STAKE, 350, True, True) + votes_of(STAKE, 91, True, False)


# --- exits ---


def test_exits_are_first_in_first_out_and_one_at_a_time() -> None:
    state = with_candidates(3)
    for number in (2, 0, 1):
        state = exits.request_exit(state, account(number))

    def leaves(state: StakingState) -> list[int | None]:
        return [each.exit.leaves_at if each.exit else None for each in state.candidates.values()]

    state = exits.admit_exit(IIP_53, state, 10)
    assert leaves(state) == [None, None, 34]
    assert exits.admit_exit(IIP_53, state, 33) == state
    state = exits.admit_exit(IIP_53, state, 34)
    assert leaves(state) == [58, None, 34]
    assert leaves(exits.admit_exit(IIP_53, state, 70)) == [58, 94, 34]


def test_a_leaver_serves_until_its_exit_is_over() -> None:
    state = exits.admit_exit(IIP_53, exits.request_exit(with_candidates(1), account(0)), 10)
    candidate = state.candidates[account(0)]
    assert [exits.serves(IIP_53, candidate, epoch) for epoch in (10, 33, 34)] == [True, True, False]
    assert not exits.serves(IIP_50, candidate, 11)


def test_cancelling_is_possible_until_admission() -> None:
    state = exits.request_exit(with_candidates(2), account(0))
    assert exits.cancel_exit(IIP_53, state, START, account(0)).candidates == with_candidates(2).candidates
    refused("ExitNotRequested", lambda: exits.cancel_exit(IIP_53, state, START, account(1)))
    refused("ExitActive", lambda: exits.cancel_exit(IIP_53, exits.admit_exit(IIP_53, state, 2), START, account(0)))
    refused("ExitActive", lambda: exits.cancel_exit(IIP_50, state, START, account(0)))
    # Who asks again after cancelling is last.
    cancelled = exits.cancel_exit(IIP_53, exits.request_exit(state, account(1)), START, account(0))
    state = exits.request_exit(cancelled, account(0))
    admitted = exits.admit_exit(IIP_53, state, 2).candidates[account(1)].exit
    assert admitted is not None
    assert admitted.leaves_at == 26


def test_iip_61_admits_most_votes_first() -> None:
    state = registered(with_candidates(1, parameters=IIP_50), 1, stake=3_000_000 * IOTX, parameters=IIP_50)
    state = exits.request_exit(exits.request_exit(state, account(0)), account(1))
    admitted = exits.admit_exit(IIP_50, state, 2)
    assert [each.exit.leaves_at for each in admitted.candidates.values() if each.exit] == [None, 26]


def test_confirming_frees_the_self_stake() -> None:
    state = with_candidates(1)
    refused("ExitNotRequested", lambda: exits.confirm_exit(IIP_53, state, START, account(0)))
    asked = exits.request_exit(state, account(0))
    refused("ExitPending", lambda: exits.request_exit(asked, account(0)))
    refused("ExitNotDue", lambda: exits.confirm_exit(IIP_53, asked, START, account(0)))
    admitted = exits.admit_exit(IIP_53, asked, 2)
    due = BlockContext(IIP_53.first_height(26), START.timestamp)
    early = replace(due, height=due.height - 1)
    refused("ExitNotDue", lambda: exits.confirm_exit(IIP_53, admitted, early, account(0)))
    left = exits.confirm_exit(IIP_53, admitted, due, account(0))
    assert left.candidates[account(0)].votes == votes_of(STAKE, 91, True, False)
    assert left.candidates[account(0)].self_stake == 0
    refused("NoSelfStake", lambda: exits.request_exit(left, account(0)))
    freed = buckets.restake(IIP_53, left, due, account(0), index=0, days=91, auto_stake=False)
    assert buckets.unstake(freed, later(91 * DAY), account(0), index=0).candidates[account(0)].votes == 0
