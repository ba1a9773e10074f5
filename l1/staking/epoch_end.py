"""The accounts of an epoch, settled in its last block: probation, slashing (IIP-50), rewards, the next exit.

No amount is ever too large to settle: a penalty takes at most the bucket, a reward at most the pool, so that no block can
become impossible. Penalties come first and are there for the rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from l1.staking.exits import admit_exit
from l1.staking.parameters import Parameters
from l1.staking.productivity import expected_blocks, is_unproductive
from l1.staking.refusal import StakingRefused
from l1.staking.state import Poll, StakingState, put


def end_epoch(parameters: Parameters, state: StakingState, epoch: int, produced: Sequence[int]) -> StakingState:
    """Settle `epoch`.

    Parameters
    ----------
    produced
        Blocks of each seat of the epoch's poll, in delegate order, the last block included.

    Raises
    ------
    StakingRefused
        EpochAlreadyEnded; PollUnknown when it has no seats; CountsInvalid when the counts are not one for each seat, or
        more than the epoch has blocks.
    """
    if epoch <= state.ended_epoch:
        raise StakingRefused("EpochAlreadyEnded", f"epoch {epoch} is settled")
    poll = state.polls.get(epoch)
    if poll is None or not poll.seats:
        raise StakingRefused("PollUnknown", f"epoch {epoch} has no seats")
    if len(produced) != len(poll.seats) or min(produced) < 0 or sum(produced) > parameters.blocks_per_epoch:
        raise StakingRefused("CountsInvalid", f"{len(produced)} counts, {sum(produced)} blocks")
    state = _judge(parameters, state, poll, produced)
    for seat, count in zip(poll.seats, produced, strict=True):
        state = state.with_reward(state.candidates[seat.candidate].reward, count * parameters.block_reward)
    state = _share_epoch_reward(parameters, state, poll)
    return replace(admit_exit(parameters, state, epoch + 1), ended_epoch=epoch)


def slash(parameters: Parameters, state: StakingState, identity: bytes, amount: int) -> StakingState:
    """Move `amount`, at most what is there, from a candidate's self-stake bucket to the pool.

    A candidate without one is left alone, as in iotex-core. Below the least self-stake of an active candidate it is
    disqualified until it recovers.
    """
    candidate = state.candidate(identity)
    if candidate.self_stake_bucket is None:
        return state
    bucket = state.buckets[candidate.self_stake_bucket]
    taken = min(amount, bucket.amount)
    state = state.with_bucket(replace(bucket, amount=bucket.amount - taken))
    state = replace(state, pool=state.pool + taken)
    changed = state.candidates[identity]
    if changed.self_stake < parameters.active_self_stake:
        state = state.with_candidate(replace(changed, disqualified=True))
    return state


def _judge(parameters: Parameters, state: StakingState, poll: Poll, produced: Sequence[int]) -> StakingState:
    expected = expected_blocks(parameters, poll.epoch, len(poll.seats))
    for seat, count, due in zip(poll.seats, produced, expected, strict=True):
        if not is_unproductive(parameters, count, due):
            continue
        candidate = state.candidates[seat.candidate]
        state = state.with_candidate(replace(candidate, last_unproductive=poll.epoch))
        if parameters.slash_unproductive:
            state = slash(parameters, state, seat.candidate, (due - count) * parameters.slash_per_block)
    return state


def _share_epoch_reward(parameters: Parameters, state: StakingState, poll: Poll) -> StakingState:
    votes = sum(share for _, share in poll.ranking)
    reward = min(parameters.epoch_reward, state.pool)
    for identity, share in poll.ranking:
        state = state.with_reward(state.candidates[identity].reward, reward * share // votes)
    return state


def claim(state: StakingState, caller: bytes) -> tuple[StakingState, int]:
    """Pay out an account's rewards: the state, and the rau that the caller gets.

    Raises
    ------
    StakingRefused
        NothingToClaim.
    """
    amount = state.unclaimed.get(caller, 0)
    if amount == 0:
        raise StakingRefused("NothingToClaim", f"0x{caller.hex()} has no rewards")
    return replace(state, unclaimed=put(state.unclaimed, caller, 0)), amount


def fund_pool(state: StakingState, amount: int) -> StakingState:
    """Put rau into the reward pool: the genesis' fund, a gift, or a block's base fees (`base_fees`)."""
    return replace(state, pool=state.pool + amount)


def base_fees(gas_used: int, base_fee_per_gas: int) -> int:
    """What a block's transactions pay in base fees. iotex-core's comments say burnt; its code pays them into the pool
    (`DepositGas`), and so does this chain's rule."""
    return gas_used * base_fee_per_gas
