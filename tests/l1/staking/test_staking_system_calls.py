"""What a block must tell the staking contract, computed from the state before it and the headers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from staking_world import keys, operator, with_candidates

from l1.staking.election import elect, put_poll
from l1.staking.epoch_end import end_epoch
from l1.staking.parameters import IIP_53
from l1.staking.state import StakingState
from l1.staking.system_calls import BlockHeaders, apply_system_calls, expected_system_calls

HASH = keccak(b"two epochs before")
POLL = "putPollResult(uint64,(address,address,uint96,bytes)[],(address,uint96)[])"
END = "endEpoch(uint64,uint32[])"
SHARE = "shareReward(uint64)"


def arguments(data: bytes, signature: str, types: list[str]) -> tuple[object, ...]:
    assert data[:4] == keccak(signature.encode())[:4]
    return decode(types, data[4:])


def at(height: int, beneficiaries: list[bytes] | None = None) -> BlockHeaders:
    return BlockHeaders(height, beneficiaries or [], HASH)


def test_the_poll_of_the_next_epoch_in_the_middle_of_each() -> None:
    state = with_candidates(30)
    (data,) = expected_system_calls(IIP_53, state, at(IIP_53.poll_height(4)))
    epoch, seats, ranking = arguments(data, POLL, ["uint64", "(address,address,uint96,bytes)[]", "(address,uint96)[]"])
    election = elect(IIP_53, state, 5, HASH)
    assert epoch == 5
    assert seats == tuple(
        ("0x" + seat.candidate.hex(), "0x" + seat.operator.hex(), seat.power, seat.bls_key)
        for seat in election.poll.seats
    )
    assert len(seats) == 24  # type: ignore[arg-type]
    assert len(ranking) == 30  # type: ignore[arg-type]
    assert apply_system_calls(IIP_53, state, at(IIP_53.poll_height(4))) == put_poll(state, election.poll)


def test_the_end_of_an_epoch_in_its_last_block() -> None:
    state = apply_system_calls(IIP_53, with_candidates(24), at(IIP_53.poll_height(1)))
    order = [seat.operator for seat in state.polls[2].seats]
    produced = [order[height % 24] for height in range(1440)]
    produced[100] = order[0]
    headers = at(IIP_53.last_height(2), produced)
    data, share = expected_system_calls(IIP_53, state, headers)
    assert arguments(share, SHARE, ["uint64"]) == (2,)
    epoch, counts = arguments(data, END, ["uint64", "uint32[]"])
    assert (epoch, counts) == (2, (61, 60, 60, 60, 59, *(60,) * 19))
    assert apply_system_calls(IIP_53, state, headers) == end_epoch(IIP_53, state, 2, counts)  # type: ignore[arg-type]


@given(st.integers(1, 10**6))
def test_no_other_block_has_any(height: int) -> None:
    epoch = IIP_53.epoch_of(height)
    state = put_poll(StakingState(), replace(POLLED, epoch=epoch))
    if height in (IIP_53.poll_height(epoch), IIP_53.last_height(epoch)):
        ends = height == IIP_53.last_height(epoch)
        assert len(expected_system_calls(IIP_53, state, at(height))) == (2 if ends else 1)
    else:
        assert expected_system_calls(IIP_53, state, at(height)) == ()
        assert apply_system_calls(IIP_53, state, at(height)) == state


POLLED = elect(IIP_53, with_candidates(2), 2, HASH).poll


def test_before_there_are_candidates_an_empty_set_is_told_and_no_end() -> None:
    (data,) = expected_system_calls(IIP_53, StakingState(), at(IIP_53.poll_height(1)))
    types = ["uint64", "(address,address,uint96,bytes)[]", "(address,uint96)[]"]
    assert arguments(data, POLL, types) == (2, (), ())
    state = apply_system_calls(IIP_53, StakingState(), at(IIP_53.poll_height(1)))
    assert expected_system_calls(IIP_53, state, at(IIP_53.last_height(2))) == ()
    assert expected_system_calls(IIP_53, StakingState(), at(IIP_53.last_height(1))) == ()


def test_a_block_of_somebody_without_a_seat_is_an_error() -> None:
    state = put_poll(StakingState(), POLLED)
    with pytest.raises(ValueError, match="has no seat"):
        expected_system_calls(IIP_53, state, at(IIP_53.last_height(2), [operator(7)]))


def test_a_key_that_changes_after_the_poll_changes_nothing_in_it() -> None:
    state = apply_system_calls(IIP_53, with_candidates(2), at(IIP_53.poll_height(1)))
    candidate = next(iter(state.candidates.values()))
    changed = state.with_candidate(replace(candidate, bls_key=keys(50).public, operator=operator(50)))
    assert changed.polls == state.polls
