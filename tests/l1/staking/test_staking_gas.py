"""Gas of the system calls at their largest: 144 seats, 100 shares, every account and slot cold, every seat slashed.

EIP-7825 lets no transaction have more than 16,777,216 gas, and an epoch that could not be settled would stop the chain.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from eth_account.signers.local import LocalAccount
from staking_chain import PEOPLE, RICH, SIGNERS, Pair, address, signer
from staking_world import keys

from l1.chain.genesis import GenesisAccount
from l1.staking.contract import MAX_SEATS, MAX_SHARES, STAKING_ADDRESS, encode_call, encode_key, read_state
from l1.staking.parameters import IIP_53, IOTX
from l1.staking.state import Poll, Seat
from l1.staking.system_calls import encode_poll

TRANSACTION_GAS = 1 << 24
"""EIP-7825."""
LARGE = replace(IIP_53, blocks_per_epoch=500, slash_per_block=100_000 * IOTX)
"""Ours with short epochs, in which a seat has three slots or four, and one missed block disqualifies."""
PRODUCER = PEOPLE.operators[0]


def owner(number: int) -> LocalAccount:
    return signer(f"owner {number}")


def registered() -> Pair:
    """So many candidates, each with its own operator, bucket and reward account."""
    owners = {address(owner(number)): owner(number) for number in range(MAX_SEATS + MAX_SHARES)}
    SIGNERS.update(owners)
    pair = Pair(LARGE, others={each: GenesisAccount(balance=RICH) for each in owners})
    pair.send(PEOPLE.actors[0], STAKING_ADDRESS, b"", 10**8 * IOTX, seconds=3)
    for number, who in enumerate(owners):
        point, proof = encode_key(keys(number + 1).public, keys(number + 1).possession)
        operator, reward = ((tag << 140 | number).to_bytes(20) for tag in (0x0FE0, 0x0EA0))
        data = encode_call("register", operator, reward, point, proof, LARGE.max_days, True)
        value = LARGE.register_self_stake + LARGE.registration_fee
        assert pair.send(who, STAKING_ADDRESS, data, value, seconds=3).receipts[0].status
    return pair


def told(pair: Pair, height: int, *calls: bytes) -> list[int]:
    """The gas of each system call of the block of this height."""
    while pair.block.height < height - 1:
        empty = pair.build([], PRODUCER)
        pair.chain.append(empty)
        pair.block = replace(pair.block, height=pair.block.height + 1, timestamp=pair.block.timestamp + 1)
    executed = pair.build([pair.transaction(PRODUCER, each, gas=TRANSACTION_GAS) for each in calls], PRODUCER)
    assert all(each.status for each in executed.receipts)
    pair.chain.append(executed)
    pair.block = replace(pair.block, height=height, timestamp=pair.block.timestamp + 1)
    totals = [0, *(each.cumulative_gas_used for each in executed.receipts)]
    return [after - before for before, after in pairwise(totals)]


def largest(pair: Pair, epoch: int) -> bytes:
    """A poll in which nobody who is seated has a share."""
    members = list(read_state(pair.read, epoch).candidates.values())
    seats = tuple(Seat(each.identity, each.operator, each.votes, each.bls_key) for each in members[:MAX_SEATS])
    shares = tuple((each.identity, each.votes) for each in members[MAX_SEATS:])
    assert (len(seats), len(shares)) == (MAX_SEATS, MAX_SHARES)
    return encode_poll(Poll(epoch, seats, shares))


@lru_cache(maxsize=1)
def measured() -> dict[str, int]:
    """Gas of each call: of the first of its kind, which writes fresh slots, and of a later one."""
    pair = registered()
    # Everybody makes one block of his three or four: too few, and rewarded all the same.
    produced = (1,) * MAX_SEATS
    found: dict[str, int] = {}
    (found["`putPollResult`, the first"],) = told(pair, LARGE.poll_height(1), largest(pair, 2))
    told(pair, LARGE.poll_height(2), largest(pair, 3))
    found["`endEpoch`, the first"], found["`shareReward`, the first"] = told(
        pair, LARGE.last_height(2), encode_call("endEpoch", 2, produced), encode_call("shareReward", 2)
    )
    after = list(read_state(pair.read, 3).candidates.values())
    assert all(each.disqualified and each.last_unproductive == 2 for each in after[:MAX_SEATS])
    (found["`putPollResult`, a later one"],) = told(pair, LARGE.poll_height(3), largest(pair, 4))
    found["`endEpoch`, a later one"], found["`shareReward`, a later one"] = told(
        pair, LARGE.last_height(3), encode_call("endEpoch", 3, produced), encode_call("shareReward", 3)
    )
    return found


def test_a_transaction_has_room_for_the_largest_system_calls() -> None:
    for name, gas in measured().items():
        print(f"| {name} | {gas:,} |")
        assert gas < TRANSACTION_GAS


def documented() -> dict[str, int]:
    """The gas table of docs/explanation/staking.md."""
    text = (Path(__file__).parents[3] / "docs" / "explanation" / "staking.md").read_text()
    rows = [
        line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `") and line[-3].isdigit()
    ]
    return {name: int(gas.replace(",", "")) for name, gas in rows}


def test_the_gas_in_the_docs_is_what_it_takes() -> None:
    for name, gas in measured().items():
        assert abs(documented()[name] - gas) < gas // 100
