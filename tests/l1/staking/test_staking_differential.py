"""The same operations on the contract and on the rules: the same acceptance, the same refusal, the same state."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from eth_abi.abi import decode
from staking_chain import OPERATOR_KEYS, PEOPLE, Pair, address
from staking_operations import ACTORS, CALLS, SHORT, Operation, by_owner, next_block, random_operation
from staking_votes import evidence, proposal, signed, vote
from staking_world import keys

from l1.consensus.machine import Topic
from l1.consensus.messages import Proposal, Vote
from l1.staking.contract import STAKING_ADDRESS, encode_call, read_state
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS
from l1.staking.parameters import IOTX
from l1.staking.state import StakingState
from l1.staking.system_calls import seats_of


def compare(pair: Pair, weights: bool) -> None:
    """Buckets, votes, self-stakes, flags, exits, polls, pool and rewards; and every rau."""
    epoch = SHORT.epoch_of(pair.block.height)
    held = read_state(pair.read, epoch, with_buckets=True)
    listed = replace(
        pair.state,
        bls_keys={each.bls_key: each.identity for each in pair.state.candidates.values()},
        convictions=frozenset(),
        unclaimed={},
        polls={
            number: poll for number, poll in pair.state.polls.items() if number in (epoch, epoch + 1) and poll.seats
        },
    )
    assert held == listed
    for actor in PEOPLE.actors:
        (owed,) = decode(["uint256"], pair.read(encode_call("unclaimed", actor)))
        assert owed == pair.state.unclaimed.get(actor, 0)
    for offence in pair.state.convictions:
        assert pair.call(EVIDENCE.encode_call("isPunished", offence), to=EVIDENCE_ADDRESS).output[-1] == 1
    assert pair.view().balance(STAKING_ADDRESS) == pair.state.total
    if weights:
        compare_weights(pair)


def votes_by_owner(state: StakingState) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for bucket in state.buckets.values():
        found[bucket.owner] += bucket.votes(state.is_self_stake(bucket))
    return found


def compare_weights(pair: Pair) -> None:
    """What governance counts, at the end of this block: read in the next one."""
    votes, height = votes_by_owner(pair.state), pair.block.height
    pair.step(replace(pair.block, height=height + 1, timestamp=pair.block.timestamp + 1), *quiet(pair), None)
    for actor in PEOPLE.actors:
        (weight,) = decode(["uint256"], pair.read(encode_call("weightAt", actor, height)))
        assert weight == votes[actor]
    (total,) = decode(["uint256"], pair.read(encode_call("totalAt", height)))
    assert total == votes.total()


def quiet(pair: Pair) -> tuple[bytes, bytes]:
    """A producer who may produce the next block, and a hash."""
    seats = seats_of(pair.state, SHORT.epoch_of(pair.block.height + 1))
    return (seats[0].operator if seats else address(OPERATOR_KEYS[0])), bytes(32)


def changes(before: StakingState, after: StakingState) -> Counter[str]:
    """What happened to candidates that no operation names."""
    found: Counter[str] = Counter()
    for identity, old in before.candidates.items():
        new = after.candidates[identity]
        found["slashed"] += new.self_stake_bucket == old.self_stake_bucket and new.self_stake < old.self_stake
        found["disqualified"] += new.disqualified > old.disqualified
        found["recovered"] += new.disqualified < old.disqualified
        found["admitted"] += bool(new.exit and new.exit.leaves_at) > bool(old.exit and old.exit.leaves_at)
    return found


def reported(draw: random.Random, pair: Pair) -> Operation:
    """A report of two messages of one of the keys, which often are in one place, for two blocks, and signed."""

    def message() -> Vote | Proposal:
        height, round_, at = draw.randrange(1, 4), draw.randrange(2), draw.randrange(3)
        domain = pair.domain if draw.random() < 0.9 else bytes(32)
        if kind:
            return vote(domain, number, at, height=height, round_=round_, topic=draw.choice(list(Topic)))
        return proposal(domain, number, at, height=height, round_=round_)

    kind, number = draw.random() < 0.7, draw.randrange(1, 4 * ACTORS)
    if pair.state.bls_keys and draw.random() < 0.9:
        known = set(pair.state.bls_keys)
        number = draw.choice([each for each in range(1, 4 * ACTORS) if keys(each).public in known])
    first, second = message(), message()
    if draw.random() < 0.7:
        same = first._replace(block_hash=draw.randbytes(32))
        second = signed(same, number, pair.domain)
    found = evidence(first, second, number)
    return Operation("report", draw.randrange(ACTORS), evidence=found, domain=pair.domain)


SEEN = (
    *CALLS,
    "report",
    "EvidenceKnown",
    "EvidenceNotOnePlace",
    "EvidenceUnsigned",
    "system calls",
    "slashed",
    "disqualified",
    "recovered",
    "admitted",
)


def run(seed: int, steps: int) -> Pair:
    draw = random.Random(seed)
    pair = Pair(SHORT)
    opening: list[Operation] = [Operation("fund", 0, value=10**5 * IOTX)]
    for actor in range(5):
        stake = draw.randrange(400_000, 900_000) * IOTX
        opening.append(Operation("register", actor, actor, actor + 1, value=stake, days=91, auto_stake=True))
    for step in range(steps):
        block = next_block(draw, pair.block)
        seated = seats_of(pair.state, SHORT.epoch_of(block.height))
        # The first seat hardly ever produces, so that it is slashed.
        seats = seated if draw.random() < 0.1 else seated[1:] or seated
        producer = draw.choice(seats).operator if seats else address(OPERATOR_KEYS[0])
        if step < len(opening):
            operation = opening[step]
        else:
            operation = by_owner(random_operation(draw, pair.state), pair.state, PEOPLE, draw)
        before = pair.state
        if step >= len(opening) and draw.random() < 0.1:
            operation = reported(draw, pair)
        pair.step(block, producer, draw.randbytes(32), operation)
        pair.done += changes(before, pair.state)
        # Reading everything costs more than the block, so most blocks are compared by acceptance and refusal alone.
        if step < 30 or draw.random() < 0.2:
            compare(pair, weights=draw.random() < 0.2)
    compare(pair, weights=True)
    return pair


@pytest.mark.slow
def test_contract_and_rules_agree() -> None:
    done: Counter[str] = Counter()
    for seed in range(4):
        done += run(seed, 350).done
    print(dict(done))
    assert [kind for kind in SEEN if not done[kind]] == []
    assert len(done) > 35
