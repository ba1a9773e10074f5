"""The history of weights against a copy of everything for every block, and its refusals."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from governance_mirror import Stakes
from governance_world import VOTERS, Solidity, World, address
from hypothesis import given, settings
from hypothesis import strategies as st

MOST = 2**208 - 1
weights = st.one_of(st.integers(0, 5), st.integers(0, 2**200))
changes = st.lists(st.tuples(st.integers(0, 3), weights), max_size=3)


@settings(max_examples=60, deadline=None)
@given(history=st.lists(changes, max_size=20))
def test_history_is_that_of_the_blocks(solidity: Solidity, history: list[list[tuple[int, int]]]) -> None:
    world, naive = World(solidity), Stakes()
    first = world.chain.head_number + 1
    for block in history:
        transactions = []
        for position, weight in block:
            voter = address(VOTERS[position])
            transactions.append((VOTERS[0], world.stake, world.data("OpenStake", "set", [voter], [weight]), 0))
            naive.present[voter] = weight
        assert all(receipt.refusal is None for receipt in world.block(*transactions))
        naive.end_block(world.chain.head_number)
    head = world.chain.head_number
    world.block()
    for number in range(first, head + 1):
        total = world.ask("OpenStake", world.stake, "totalAt", number)
        assert total == naive.total_at(number)
        found = [world.ask("OpenStake", world.stake, "weightAt", address(voter), number) for voter in VOTERS]
        assert found == [naive.weight_at(address(voter), number) for voter in VOTERS]
        assert sum(found) == total
    assert world.ask("OpenStake", world.stake, "latestTotal") == sum(naive.present.values())
    for voter in VOTERS:
        assert world.ask("OpenStake", world.stake, "latest", address(voter)) == naive.present.get(address(voter), 0)


@pytest.mark.parametrize("function", ["weightAt", "totalAt"])
@pytest.mark.parametrize("ahead", [0, 1, 2**48, 2**63])
def test_block_that_is_not_over(world: World, function: str, ahead: int) -> None:
    """What may still change is not told: neither of the present block nor of a later one."""
    present = world.chain.head_number + 1
    arguments = [address(VOTERS[0])] if function == "weightAt" else []
    refusal = world.refusal(VOTERS[0], world.data("OpenStake", function, *arguments, present + ahead), world.stake)
    # The governance contract does not declare the stake contract's errors.
    wanted = keccak(b"SnapshotNotPassed(uint64,uint256)")[:4] + encode(
        ["uint64", "uint256"], [present + ahead, present]
    )
    assert refusal.args == {"data": wanted}


def test_sum_that_the_history_cannot_hold(world: World) -> None:
    def give(position: int, weight: int) -> bytes:
        return world.data("OpenStake", "set", [address(VOTERS[position])], [weight])

    world.set_weights(0, 0, 0, 0, 0)
    world.send(VOTERS[0], give(0, MOST), world.stake)
    for position, weight in ((1, 1), (0, MOST + 1), (0, 2**256 - 1)):
        wanted = keccak(b"WeightTooLarge(uint256)")[:4] + weight.to_bytes(32, "big")
        assert world.refusal(VOTERS[0], give(position, weight), world.stake).args == {"data": wanted}
    world.send(VOTERS[0], give(0, MOST - 1), world.stake)
    world.send(VOTERS[0], give(1, 1), world.stake)
    assert world.ask("OpenStake", world.stake, "latestTotal") == MOST
