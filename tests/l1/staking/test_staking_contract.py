"""The contract alone: system calls, keys, payments, and how it comes into a genesis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode, encode
from py_ecc.bls.g2_primitives import pubkey_to_G1, signature_to_G2
from py_ecc.optimized_bls12_381 import normalize
from staking_chain import PEOPLE, Pair
from staking_operations import SHORT, Operation
from staking_world import Keys, keys

from l1.chain.genesis import GenesisAccount
from l1.staking.contract import (
    MAX_SEATS,
    MAX_SHARES,
    STAKING_ADDRESS,
    creation_code,
    encode_call,
    encode_key,
    error_name,
    read_state,
    runtime_code,
)
from l1.staking.evidence import EVIDENCE, HISTORY_BLOCKS
from l1.staking.parameters import IIP_50, IIP_53, IOTX
from l1.staking.points import P, PointInvalid, key_point, signature_point
from l1.staking.weight import vote_weight

OPERATOR = PEOPLE.operators[0]


@pytest.fixture
def pair() -> Pair:
    """Two candidates with stake; block 2."""
    made = Pair(SHORT)
    for actor in (0, 1):
        step(made, Operation("register", actor, actor, actor + 1, value=500_000 * IOTX, days=91, auto_stake=True))
    return made


def step(pair: Pair, operation: Operation | None = None, producer: bytes = OPERATOR) -> None:
    block = replace(pair.block, height=pair.block.height + 1, timestamp=pair.block.timestamp + 3)
    pair.step(block, producer, bytes(32), operation)


def go_to(pair: Pair, height: int) -> None:
    while pair.block.height < height:
        step(pair)


def refusal(pair: Pair, data: bytes, sender: bytes, value: int = 0) -> str:
    result = pair.call(data, sender, value)
    return "" if result.status == "success" else error_name(result.output)


# --- system calls ---


def end(epoch: int, *produced: int) -> bytes:
    return encode_call("endEpoch", epoch, produced)


def share(epoch: int) -> bytes:
    return encode_call("shareReward", epoch)


def poll(pair: Pair, epoch: int, **changes: object) -> bytes:
    seat = {"candidate": PEOPLE.actors[0], "operator": OPERATOR, "power": 5, "key": keys(1).public} | changes
    return encode_call("putPollResult", epoch, [tuple(seat.values())], [(seat["candidate"], 5)])


def test_system_calls_are_the_producers(pair: Pair) -> None:
    # A read-only call has the head's beneficiary, which is operator 0.
    go_to(pair, 7)
    for data in (poll(pair, 2), end(1, 13)):
        assert refusal(pair, data, PEOPLE.actors[0]) == "NotProducer"
        assert refusal(pair, data, PEOPLE.operators[1]) == "NotProducer"
        assert refusal(pair, data, OPERATOR) != "NotProducer"


def test_a_poll_is_put_in_the_middle_of_the_epoch_before_it(pair: Pair) -> None:
    go_to(pair, 6)
    assert refusal(pair, poll(pair, 2), OPERATOR) == "WrongBlock"
    assert refusal(pair, poll(pair, 0), OPERATOR) == "WrongBlock"
    go_to(pair, 7)
    # The block put its own.
    assert refusal(pair, poll(pair, 2), OPERATOR) == "PollExists"
    assert refusal(pair, poll(pair, 3), OPERATOR) == "WrongBlock"
    assert len(read_state(pair.read, 1).polls[2].seats) == 2


def test_seats_belong_to_candidates_and_their_keys(pair: Pair) -> None:
    go_to(pair, 19)

    def refused(data: bytes) -> str:
        built = pair.build([pair.transaction(OPERATOR, data)], OPERATOR)
        pair.nonces[OPERATOR] -= 1
        return error_name(pair.call(data, OPERATOR, view=pair.chain.view_of(built)).output)

    assert refused(poll(pair, 3, candidate=PEOPLE.actors[1])) == "SeatInvalid"
    assert refused(poll(pair, 3, candidate=PEOPLE.actors[5])) == "SeatInvalid"
    assert refused(poll(pair, 3, candidate=bytes(20), key=b"")) == "SeatInvalid"
    assert refused(encode_call("putPollResult", 3, [], [(PEOPLE.actors[5], 5)])) == "CandidateUnknown"
    # Accepted in the block that was built; then, seen from its end, it is there already.
    assert refused(poll(pair, 3)) == "PollExists"


def test_no_producer_can_seat_anybody_where_nobody_qualifies() -> None:
    empty = Pair(SHORT)
    go_to(empty, 7)
    assert refusal(empty, encode_call("putPollResult", 2, [], []), OPERATOR) == "PollExists"
    go_to(empty, 26)
    assert refusal(empty, end(2), OPERATOR) == "PollUnknown"


def test_an_epoch_ends_once_in_its_last_block(pair: Pair) -> None:
    go_to(pair, 13)
    assert refusal(pair, end(1, 13), OPERATOR) == "PollUnknown"
    seats = pair.state.polls[2].seats
    while pair.block.height < 26:
        step(pair, producer=seats[0].operator)
    producer = seats[0].operator
    assert refusal(pair, end(2, 13, 0), producer) == "EpochAlreadyEnded"
    assert refusal(pair, end(3, 13, 0), producer) == "WrongBlock"
    assert refusal(pair, share(2), producer) == "RewardNotDue"
    assert refusal(pair, share(3), producer) == "WrongBlock"
    assert read_state(pair.read, 2).ended_epoch == 2


def test_a_reward_is_shared_once_after_its_epoch_ended(pair: Pair) -> None:
    """Block 26 as its producer would build it, with the second system call alone, and with each of them twice."""
    go_to(pair, 13)
    seats = pair.state.polls[2].seats
    while pair.block.height < 25:
        step(pair, producer=seats[0].operator)
    producer, before = seats[0].operator, pair.nonces[seats[0].operator]
    for calls, accepted in (
        ([share(2)], [False]),
        ([end(2, 13, 0), share(2), share(2), end(2, 13, 0)], [True, True, False, False]),
        ([end(2, 13, 0), share(1)], [True, False]),
    ):
        pair.nonces[producer] = before
        built = pair.build([pair.transaction(producer, each) for each in calls], producer)
        assert [each.status for each in built.receipts] == accepted
    pair.nonces[producer] = before
    assert refusal(pair, share(2), PEOPLE.actors[0]) == "NotProducer"


def test_counts_must_fit_the_seats(pair: Pair) -> None:
    go_to(pair, 13)
    seats = pair.state.polls[2].seats
    while pair.block.height < 25:
        step(pair, producer=seats[0].operator)
    # Block 26 as a producer would build it, with counts that are none.
    for counts in ((13,), (13, 0, 0), (14, 0), (2**31, 2**31), ()):
        built = pair.build([pair.transaction(seats[0].operator, end(2, *counts))], seats[0].operator)
        assert not built.receipts[0].status
        pair.nonces[seats[0].operator] -= 1
        again = pair.call(end(2, *counts), seats[0].operator, view=pair.chain.view_of(built))
        assert error_name(again.output) == "CountsInvalid"


# --- keys ---


def register(pair: Pair, actor: int, point: bytes, proof: bytes, **changes: object) -> str:
    arguments = {"operator": PEOPLE.operators[actor], "reward": PEOPLE.actors[actor]} | changes
    data = encode_call("register", arguments["operator"], arguments["reward"], point, proof, 91, True)
    return refusal(pair, data, PEOPLE.actors[actor], 100 * IOTX)


def test_keys_are_proven_on_chain(pair: Pair) -> None:
    point, proof = encode_key(keys(9).public, keys(9).possession)
    assert register(pair, 3, point, proof) == ""
    assert register(pair, 3, *encode_key(keys(9).public, keys(8).possession)) == "PossessionUnproven"
    signed = keys(9).secret.sign(keys(9).public)
    assert register(pair, 3, *encode_key(keys(9).public, signed)) == "PossessionUnproven"
    assert register(pair, 3, *encode_key(keys(1).public, keys(1).possession)) == "KeyTaken"
    assert register(pair, 3, point[:-1], proof) == "KeyInvalid"
    assert register(pair, 3, point, proof[:-1]) == "KeyInvalid"
    assert register(pair, 3, b"", b"") == "KeyInvalid"
    assert register(pair, 3, bytes(128), proof) == "KeyInvalid"
    assert register(pair, 3, point, bytes(256)) == "PossessionUnproven"
    assert register(pair, 3, point[:-1] + bytes([point[-1] ^ 1]), proof) == "KeyInvalid"
    assert register(pair, 3, point, proof[:-1] + bytes([proof[-1] ^ 1])) == "KeyInvalid"
    not_reduced = (int.from_bytes(point[:64], "big") + P).to_bytes(64, "big") + point[64:]
    assert register(pair, 3, not_reduced, proof) == "KeyInvalid"
    minus = point[:64] + (P - int.from_bytes(point[64:], "big")).to_bytes(64, "big")
    assert register(pair, 3, minus, proof) == "PossessionUnproven"


def test_a_key_outside_the_subgroup_is_refused(pair: Pair) -> None:
    # The curve has points of small order: x = 0 gives y = 2, of order 3.
    outside = bytes(64) + (2).to_bytes(64, "big")
    _, proof = encode_key(keys(9).public, keys(9).possession)
    assert register(pair, 3, outside, proof) == "KeyInvalid"


@pytest.mark.parametrize("number", range(12))
def test_compressed_keys_are_restored(pair: Pair, number: int) -> None:
    """Of either sign: the contract makes the 48 bytes again from the point."""
    pair_of_keys: Keys = keys(100 + number)
    operation = Operation("update", 0, 0, 100 + number)
    step(pair, operation)
    assert read_state(pair.read, 1).candidates[PEOPLE.actors[0]].bls_key == pair_of_keys.public
    (owner,) = decode(["address"], pair.read(encode_call("keyOwner", pair_of_keys.public)))
    assert bytes.fromhex(owner[2:]) == PEOPLE.actors[0]


@pytest.mark.parametrize("number", range(8))
def test_points_are_py_eccs(number: int) -> None:
    x, y = normalize(pubkey_to_G1(keys(number).public))  # type: ignore[arg-type]
    assert key_point(keys(number).public) == b"".join(int(each).to_bytes(64, "big") for each in (x, y))
    x, y = normalize(signature_to_G2(keys(number).possession))  # type: ignore[arg-type]
    coordinates = (*x.coeffs, *y.coeffs)
    assert signature_point(keys(number).possession) == b"".join(int(each).to_bytes(64, "big") for each in coordinates)


@pytest.mark.parametrize(
    "compressed",
    [
        b"",
        bytes(48),
        bytes([0xC0]) + bytes(47),
        bytes([0x80]) + bytes(46) + b"\x01",
        bytes([0x9F]) + b"\xff" * 47,
    ],
)
def test_bytes_that_are_no_key(compressed: bytes) -> None:
    with pytest.raises(PointInvalid):
        key_point(compressed)
    with pytest.raises(PointInvalid):
        signature_point(compressed + compressed)


def test_registration_names_who_works_and_who_earns(pair: Pair) -> None:
    point, proof = encode_key(keys(9).public, keys(9).possession)
    assert register(pair, 3, point, proof, operator=bytes(20)) == "ZeroAddress"
    assert register(pair, 3, point, proof, reward=bytes(20)) == "ZeroAddress"
    assert register(pair, 3, point, proof, operator=PEOPLE.operators[1]) == "OperatorTaken"


# --- tokens ---


def test_the_pool_is_the_balance_that_nobody_has(pair: Pair) -> None:
    step(pair, Operation("fund", 0, value=IOTX))
    (pool,) = decode(["uint256"], pair.read(encode_call("pool")))
    assert pool == 201 * IOTX
    assert pair.view().balance(STAKING_ADDRESS) == 1_000_000 * IOTX + pool


def forwarder() -> bytes:
    """Code that passes its input and value on to the staking contract, and reverts without input: it takes no coins."""
    head = bytes.fromhex("3615603357365f5f375f5f365f3473") + STAKING_ADDRESS
    return head + bytes.fromhex("5af13d5f5f3e602f573d5ffd5b3d5ff35b5f5ffd")


def test_a_payment_that_fails_takes_nothing() -> None:
    stubborn = b"\x11" * 20
    pair = Pair(SHORT, {stubborn: GenesisAccount(nonce=1, code=forwarder())})
    step(pair, Operation("register", 0, 0, 1, value=500_000 * IOTX, days=91, auto_stake=True))
    calls = [
        encode_call("createBucket", PEOPLE.actors[0], 0, False),
        encode_call("unstake", 1),
        encode_call("withdraw", 1),
    ]
    for data, value, late in zip(calls, (IOTX * 200, 0, 0), (0, 0, SHORT.withdraw_wait), strict=True):
        executed = pair.send(PEOPLE.actors[1], stubborn, data, value, seconds=1 + late)
    assert not executed.receipts[0].status
    result = pair.call(calls[-1], PEOPLE.actors[1], to=stubborn)
    assert error_name(result.output) == "PaymentFailed"
    held = read_state(pair.read, 1, with_buckets=True)
    assert held.buckets[1].amount == 200 * IOTX
    assert pair.view().balance(STAKING_ADDRESS) == held.total


def test_the_weight_is_the_rules(pair: Pair) -> None:
    """Of each duration at some amounts, by buckets of an actor."""
    for days in (0, 1, 2, 7, 90, 91, 92, 350, 1049, 1050):
        for auto_stake in (False, True):
            step(pair, Operation("create", 2, candidate=0, value=10**22 + 7, days=days, auto_stake=auto_stake))
    held = read_state(pair.read, 2, with_buckets=True)
    assert held.candidates[PEOPLE.actors[0]].votes == sum(
        each.votes(each.index == 0) for each in held.buckets.values() if each.candidate == PEOPLE.actors[0]
    )
    assert held.buckets[2].votes(False) == (10**22 + 7) * vote_weight(0, False, False) >> 52


# --- code ---


def test_the_code_fits_and_depends_on_the_parameters_only() -> None:
    code = runtime_code(IIP_53)
    assert len(code) <= 24_576
    assert code == runtime_code(IIP_53) != runtime_code(SHORT)
    assert creation_code(IIP_53).endswith(encode(["uint64"] * 2, [IIP_53.exit_epochs, 0]))
    assert len(EVIDENCE.deployed_code) <= 24_576


def test_parameters_that_the_contract_does_not_implement_are_refused() -> None:
    for changes in (
        {"exit_order": IIP_50.exit_order},
        {"rotation": IIP_50.rotation},
        {"require_bls_key": False},
        {"recovery_hysteresis": False},
    ):
        with pytest.raises(ValueError, match="the contract"):
            creation_code(replace(IIP_53, **changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="productivity_threshold"):
        # More blocks than expected could be too few, and the penalty negative.
        creation_code(replace(IIP_53, productivity_threshold=101))
    for share in (-1, 10_001):
        with pytest.raises(ValueError, match="equivocation_slash_share"):
            creation_code(replace(IIP_53, equivocation_slash_share=share))
    assert creation_code(replace(IIP_53, blocks_per_epoch=2 * (HISTORY_BLOCKS - 1) + 1))
    for more in ({"max_delegates": MAX_SEATS + 1}, {"epoch_reward_delegates": MAX_SHARES + 1}):
        with pytest.raises(ValueError, match="EIP-7825"):
            creation_code(replace(IIP_53, **more))
    with pytest.raises(ValueError, match="blocks_per_epoch"):
        creation_code(replace(IIP_53, blocks_per_epoch=2 * HISTORY_BLOCKS))
