"""The exit queue (IIP-53; IIP-61 as `ExitOrder.VOTES_IDLE`): leaving takes a request, an admission and 24 epochs.

One candidate is in its exit at a time. Until its exit is over its self-stake is locked, so that a set of delegates
cannot leave at once, nor before it can be punished.
"""

from __future__ import annotations

from dataclasses import replace

from l1.staking.parameters import ExitOrder, Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import BlockContext, Candidate, Exit, StakingState


def request_exit(state: StakingState, caller: bytes) -> StakingState:
    """Enter the queue."""
    candidate = state.candidate(caller)
    if candidate.self_stake_bucket is None:
        raise StakingRefused("NoSelfStake", f"0x{caller.hex()} has no self-stake to take out")
    if candidate.exit is not None:
        raise StakingRefused("ExitPending", f"0x{caller.hex()} is leaving already")
    state = state.with_candidate(replace(candidate, exit=Exit(state.next_ticket)))
    return replace(state, next_ticket=state.next_ticket + 1)


def cancel_exit(parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes) -> StakingState:
    """Leave the queue again, before the exit is admitted.

    Not where the self-stake is another's, whose endorsement is over: its owner waits for the exit, and a candidate that
    cancelled it again and again would never let go.
    """
    candidate = state.candidate(caller)
    if candidate.exit is None:
        raise StakingRefused("ExitNotRequested", f"0x{caller.hex()} is not leaving")
    if candidate.exit.leaves_at is not None or parameters.exit_order is ExitOrder.VOTES_IDLE:
        raise StakingRefused("ExitActive", f"the exit of 0x{caller.hex()} can no longer be cancelled")
    assert candidate.self_stake_bucket is not None, "who waits to leave has a self-stake"
    bucket = state.buckets[candidate.self_stake_bucket]
    if bucket.owner != caller and not bucket.endorses(block.height):
        raise StakingRefused("NotEndorsed", f"bucket {bucket.index} is another's, whose endorsement is over")
    return state.with_candidate(replace(candidate, exit=None))


def confirm_exit(parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes) -> StakingState:
    """Finish an exit that is over: the self-stake becomes an ordinary bucket."""
    candidate = state.candidate(caller)
    if candidate.exit is None:
        raise StakingRefused("ExitNotRequested", f"0x{caller.hex()} is not leaving")
    leaves_at = candidate.exit.leaves_at
    if leaves_at is None or parameters.epoch_of(block.height) < leaves_at:
        raise StakingRefused("ExitNotDue", f"the exit of 0x{caller.hex()} ends with epoch {leaves_at}")
    state = state.with_self_stake(caller, None)
    return state.with_candidate(replace(state.candidates[caller], exit=None, disqualified=False))


def admit_exit(parameters: Parameters, state: StakingState, epoch: int) -> StakingState:
    """Admit the next waiting candidate at the start of `epoch`, unless an exit is under way."""
    if state.exit_admitted is not None and epoch < state.exit_admitted + parameters.exit_epochs:
        return state
    waiting = [each for each in state.candidates.values() if each.exit is not None and each.exit.leaves_at is None]
    if not waiting:
        return state
    chosen = min(waiting, key=lambda each: _turn(parameters, each))
    assert chosen.exit is not None
    leaving = replace(chosen, exit=replace(chosen.exit, leaves_at=epoch + parameters.exit_epochs))
    return replace(state.with_candidate(leaving), exit_admitted=epoch)


def serves(parameters: Parameters, candidate: Candidate, epoch: int) -> bool:
    """Whether its exit still lets the candidate be elected for this epoch."""
    if candidate.exit is None or candidate.exit.leaves_at is None:
        return True
    return parameters.exit_order is ExitOrder.FIFO_SERVING and epoch < candidate.exit.leaves_at


def _turn(parameters: Parameters, candidate: Candidate) -> tuple[int, int]:
    assert candidate.exit is not None
    first = -candidate.votes if parameters.exit_order is ExitOrder.VOTES_IDLE else 0
    return (first, candidate.exit.ticket)
