"""The system calls of a block: what `Staking.sol` must be told, and by whom nothing else may be told it.

The block's producer sends them as its first transactions, ordinary and signed, so that any Ethereum client executes
them. Every validator computes them again from the state before the block and refuses a block that does not begin with
them, sent by its beneficiary without value, or in which one of them fails. After them the contract refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l1.staking.contract import encode_call
from l1.staking.election import Election, elect, put_poll
from l1.staking.epoch_end import end_epoch
from l1.staking.parameters import Parameters
from l1.staking.productivity import produced_blocks
from l1.staking.state import Poll, Seat, StakingState


@dataclass(frozen=True, slots=True)
class BlockHeaders:
    """What of the headers decides a block's system calls."""

    height: int
    """Of the block being built or checked."""
    beneficiaries: Sequence[bytes]
    """Of the blocks of its epoch, from the first to the block itself; read in the last block of an epoch only."""
    finalized_hash: bytes
    """Of the last block of the epoch before, or of the genesis: the seed of the poll for the next epoch."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a block must do beside its users' transactions."""

    election: Election | None
    """The poll to put, with its outcome."""
    ended: tuple[int, tuple[int, ...]] | None
    """The epoch to settle, with the blocks of its seats."""


def due(parameters: Parameters, state: StakingState, headers: BlockHeaders) -> Due:
    """What the block at this height must do, from the state before it.

    Raises
    ------
    ValueError
        When a beneficiary of the epoch has no seat.
    """
    epoch = parameters.epoch_of(headers.height)
    election = None
    if headers.height == parameters.poll_height(epoch):
        election = elect(parameters, state, epoch + 1, headers.finalized_hash)
    ended = None
    if headers.height == parameters.last_height(epoch) and (seats := seats_of(state, epoch)):
        ended = (epoch, produced_blocks(seats, headers.beneficiaries))
    return Due(election, ended)


def seats_of(state: StakingState, epoch: int) -> tuple[Seat, ...]:
    """The delegates of an epoch in their order; none where they are the genesis file's."""
    poll = state.polls.get(epoch)
    return poll.seats if poll else ()


def expected_system_calls(parameters: Parameters, state: StakingState, headers: BlockHeaders) -> tuple[bytes, ...]:
    """Call data of the transactions to the staking contract that a block must begin with, in this order.

    Parameters
    ----------
    state
        Before the block: the contract's, read at the parent.

    Raises
    ------
    ValueError
        As `due`.
    """
    found = due(parameters, state, headers)
    calls = []
    if found.election is not None:
        calls.append(encode_poll(found.election.poll))
    if found.ended is not None:
        calls.append(encode_call("endEpoch", *found.ended))
        calls.append(encode_call("shareReward", found.ended[0]))
    return tuple(calls)


def apply_system_calls(parameters: Parameters, state: StakingState, headers: BlockHeaders) -> StakingState:
    """The state after a block's system calls: what the contract does when it gets them.

    Raises
    ------
    ValueError
        As `due`.
    """
    found = due(parameters, state, headers)
    if found.election is not None:
        state = put_poll(state, found.election.poll)
    if found.ended is not None:
        state = end_epoch(parameters, state, *found.ended)
    return state


def encode_poll(poll: Poll) -> bytes:
    """Call data of `putPollResult`."""
    seats = [(seat.candidate, seat.operator, seat.power, seat.bls_key) for seat in poll.seats]
    return encode_call("putPollResult", poll.epoch, seats, list(poll.ranking))
