"""Operations on buckets (iotex-core, staking/handlers.go): create, deposit, restake, move, unstake, withdraw.

Each takes the parameters, the state, the block and the caller, and returns the next state; each raises StakingRefused
and then nothing has changed.
"""

from __future__ import annotations

from dataclasses import replace

from l1.staking.parameters import Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import BlockContext, Bucket, StakingState, put, without


def create_bucket(
    parameters: Parameters,
    state: StakingState,
    block: BlockContext,
    caller: bytes,
    *,
    candidate: bytes,
    value: int,
    days: int,
    auto_stake: bool,
) -> StakingState:
    """Stake `value` rau for a candidate; the bucket's number is the old `next_bucket`."""
    state.candidate(candidate)
    if value < parameters.min_bucket:
        raise StakingRefused("AmountTooSmall", f"{value} rau; a bucket has at least {parameters.min_bucket}")
    _check_days(parameters, days)
    bucket = Bucket(state.next_bucket, caller, candidate, value, days, auto_stake, block.timestamp)
    return replace(state.with_bucket(bucket), next_bucket=state.next_bucket + 1)


def deposit(parameters: Parameters, state: StakingState, caller: bytes, *, index: int, value: int) -> StakingState:
    """Add to an auto-stake bucket; anyone may. A self-stake that reaches the minimum again ends disqualification."""
    bucket = state.bucket(index)
    _check_staked(bucket)
    if not bucket.auto_stake:
        raise StakingRefused("AutoStakeOff", f"bucket {index} runs down; deposits are for auto-stake buckets")
    if value <= 0:
        raise StakingRefused("AmountTooSmall", f"0x{caller.hex()} deposits {value} rau")
    state = state.with_bucket(replace(bucket, amount=bucket.amount + value))
    holder = state.candidates[bucket.candidate]
    if state.is_self_stake(bucket) and holder.self_stake >= parameters.register_self_stake:
        state = state.with_candidate(replace(holder, disqualified=False))
    return state


def restake(
    parameters: Parameters,
    state: StakingState,
    block: BlockContext,
    caller: bytes,
    *,
    index: int,
    days: int,
    auto_stake: bool,
) -> StakingState:
    """Start a bucket's duration again, with other terms. A shorter one only when the old one is over."""
    bucket = owned(state, caller, index)
    _check_staked(bucket)
    _check_days(parameters, days)
    if days < bucket.days:
        if bucket.auto_stake:
            raise StakingRefused("AutoStakeOn", f"bucket {index}: turn auto-stake off before making it shorter")
        if block.timestamp < bucket.matures_at:
            raise StakingRefused("NotMatured", f"bucket {index} may be made shorter from {bucket.matures_at} on")
    return state.with_bucket(replace(bucket, days=days, auto_stake=auto_stake, started_at=block.timestamp))


def change_candidate(state: StakingState, caller: bytes, *, index: int, candidate: bytes) -> StakingState:
    """Let a bucket vote for another candidate. Not the self-stake, nor an endorsed one."""
    state.candidate(candidate)
    bucket = owned(state, caller, index)
    _check_staked(bucket)
    _check_free(state, bucket)
    if bucket.candidate == candidate:
        raise StakingRefused("SameCandidate", f"bucket {index} votes for 0x{candidate.hex()} already")
    left = state.candidates[bucket.candidate]
    state = state.with_candidate(replace(left, votes=left.votes - bucket.votes(False)))
    joined = state.candidates[candidate]
    state = state.with_candidate(replace(joined, votes=joined.votes + bucket.votes(False)))
    return replace(state, buckets=put(state.buckets, index, replace(bucket, candidate=candidate)))


def unstake(state: StakingState, block: BlockContext, caller: bytes, *, index: int) -> StakingState:
    """Stop voting and start the wait for withdrawal. A self-stake bucket leaves by the exit queue first."""
    bucket = owned(state, caller, index)
    _check_staked(bucket)
    if bucket.auto_stake:
        raise StakingRefused("AutoStakeOn", f"bucket {index}: turn auto-stake off first")
    if block.timestamp < bucket.matures_at:
        raise StakingRefused("NotMatured", f"bucket {index} may be unstaked from {bucket.matures_at} on")
    _check_free(state, bucket)
    return state.with_bucket(replace(bucket, unstaked_at=block.timestamp))


def withdraw(
    parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes, *, index: int
) -> tuple[StakingState, int]:
    """Take an unstaked bucket out: the state without it, and the rau that the caller gets."""
    bucket = owned(state, caller, index)
    if bucket.unstaked_at is None:
        raise StakingRefused("BucketStaked", f"bucket {index} is not unstaked")
    ready = bucket.unstaked_at + parameters.withdraw_wait
    if block.timestamp < ready:
        raise StakingRefused("WithdrawTooEarly", f"bucket {index} may be withdrawn from {ready} on")
    return replace(state, buckets=without(state.buckets, index)), bucket.amount


def owned(state: StakingState, caller: bytes, index: int) -> Bucket:
    """The caller's bucket. Raises StakingRefused (BucketUnknown, NotBucketOwner)."""
    bucket = state.bucket(index)
    if bucket.owner != caller:
        raise StakingRefused("NotBucketOwner", f"bucket {index} belongs to 0x{bucket.owner.hex()}")
    return bucket


def _check_staked(bucket: Bucket) -> None:
    if bucket.unstaked_at is not None:
        raise StakingRefused("BucketUnstaked", f"bucket {bucket.index} is unstaked")


def _check_free(state: StakingState, bucket: Bucket) -> None:
    if state.is_self_stake(bucket):
        raise StakingRefused("SelfStakeLocked", f"bucket {bucket.index} is the self-stake of its candidate")
    if bucket.endorsed_until is not None:
        raise StakingRefused("EndorsementActive", f"bucket {bucket.index} is endorsed; revoke that first")


def _check_days(parameters: Parameters, days: int) -> None:
    if not 0 <= days <= parameters.max_days:
        raise StakingRefused("DurationTooLong", f"{days} days; a bucket lasts 0 to {parameters.max_days}")
