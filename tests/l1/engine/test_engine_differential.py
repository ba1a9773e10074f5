"""The same blocks on revm and on geth: the same hashes, states and receipts, and the same refusals.

State root, receipts root and bloom stand in the header: two executors that agree on a block's hash agree on all.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from engine_programs import OPERATIONS, PRECOMPILES, init_code, instruction, programs
from engine_world import (
    CHAIN_ID,
    COUNTER,
    DOOMED,
    EMPTY,
    GAS,
    NOBODY,
    RUNNER,
    SENDERS,
    STORER,
    Pair,
    address,
    genesis,
    signed,
)
from eth_account import Account
from eth_hash.auto import keccak
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_l1_precompiles import VECTORS
from verifier_calls import ADDRESS as VERIFIER
from verifier_calls import signed_by

from l1.chain.duties import DutyUndone
from l1.engine.client import Status
from l1.engine.payload import NewPayload, PayloadInvalid, Withdrawal, from_block, to_block
from l1.engine.process import GethProcess, GethSettings
from native import _native

ACCOUNTS = [COUNTER, STORER, RUNNER, DOOMED, EMPTY, NOBODY, address(SENDERS[0]), address(SENDERS[-1])]
SYSTEM = [
    bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"),
    bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"),
]
PROGRAMS = programs(ACCOUNTS + SYSTEM)
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
GASES = st.sampled_from([GAS, GAS, GAS, GAS, 21_000, 60_000, 2**24]) | st.integers(60_000, 200_000)
LISTS = st.lists(
    st.tuples(st.sampled_from(ACCOUNTS), st.lists(st.integers(0, 4), max_size=3)).map(
        lambda entry: {"address": "0x" + entry[0].hex(), "storageKeys": [f"0x{slot:064x}" for slot in entry[1]]}
    ),
    max_size=3,
)
WORDS = st.lists(st.integers(0, 5) | st.integers(0, 2**256 - 1), max_size=3).map(
    lambda words: b"".join(word.to_bytes(32) for word in words)
)


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """What a transaction does: create with a program, deploy one, or call what is there; with its kind and its gas."""
    made: dict[str, Any] = {"gas": draw(GASES), "value": draw(st.sampled_from([0, 0, 1, 10**9]))}
    match draw(st.sampled_from(["create", "deploy", "call", "call", "precompile"])):
        case "create":
            made["data"] = draw(PROGRAMS)
        case "deploy":
            made["data"] = init_code(draw(PROGRAMS))
        case "call":
            made |= {"to": draw(st.sampled_from(ACCOUNTS)), "data": draw(WORDS)}
        case _:
            target = draw(st.sampled_from(PRECOMPILES)).to_bytes(32)
            made |= {"to": RUNNER, "data": target + draw(st.binary(max_size=400)), "value": 0}
    match draw(st.sampled_from(["1559", "1559", "legacy", "2930"])):
        case "legacy":
            made["gasPrice"] = 10**10
        case "2930":
            made |= {"gasPrice": 10**10, "accessList": draw(LISTS)}
    return made


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    """What a proposer chooses besides the transactions, and what the chain pays."""
    word = st.binary(min_size=32, max_size=32)
    receiver = st.sampled_from([*ACCOUNTS, b"\x99" * 20, bytes(20)])
    amount = st.sampled_from([0, 1, 10**9, 2**63])
    paid = draw(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9), receiver, amount), max_size=4))
    return {
        "beneficiary": draw(receiver),
        "prev_randao": draw(word),
        "parent_beacon_block_root": draw(word),
        "extra_data": draw(st.binary(max_size=32)),
        "withdrawals": paid,
    }


@settings(SHARED, max_examples=150)
@given(st.lists(fields(), max_size=6), choices())
def test_any_block_of_ours_is_the_same_block_on_geth(
    pair: Pair, wanted: list[dict[str, Any]], choice: dict[str, Any]
) -> None:
    """Programs out of every instruction, created, deployed and called, out of gas, with withdrawals: one outcome."""
    later = pair.head.timestamp + 1 + len(wanted)
    batch = [signed(SENDERS[index], pair.nonce(SENDERS[index]), **each) for index, each in enumerate(wanted)]
    pair.ours(batch, timestamp=later, **choice)


# Not shrunk: an instruction that differs is one of sixty transactions already.
@settings(SHARED, max_examples=8, phases=[Phase.reuse, Phase.generate])
@given(st.data())
def test_every_instruction_is_the_same(pair: Pair, data: st.DataObject) -> None:
    """Each in a transaction of its own, so that none hides behind another's failure."""
    batch, nonces = [], [pair.nonce(each) for each in SENDERS]
    for index, name in enumerate(OPERATIONS):
        at = index % len(SENDERS)
        program = data.draw(instruction(name, ACCOUNTS + SYSTEM), label=name)
        batch.append(signed(SENDERS[at], nonces[at], data=program + bytes.fromhex("60405ff3"), value=1, gas=400_000))
        nonces[at] += 1
    executed = pair.ours(batch)
    assert len(executed.block.transactions) == len(OPERATIONS)


@settings(SHARED, max_examples=25)
@given(
    st.lists(st.tuples(PROGRAMS, WORDS, st.sampled_from([0, CHAIN_ID, 1]), st.integers(0, 1)), min_size=1, max_size=4)
)
def test_delegations_are_the_same(pair: Pair, wanted: list[tuple[bytes, bytes, int, int]]) -> None:
    """EIP-7702: accounts that become programs, are called, and are cleared; authorizations that do not hold are passed
    over."""
    batch = []
    for index, (program, data, chain_id, ahead) in enumerate(wanted):
        payer, owner = SENDERS[index], Account.from_key((10_000 + index).to_bytes(32))
        code = signed(payer, pair.nonce(payer), data=init_code(program), gas=GAS)
        target = created_by(address(payer), pair.nonce(payer))
        grants = [
            owner.sign_authorization({"chainId": chain_id, "address": target, "nonce": ahead}),
            owner.sign_authorization({"chainId": 0, "address": bytes(20) if ahead else target, "nonce": 1}),
        ]
        call = {"to": address(owner), "data": data, "gas": GAS, "value": 1, "authorizationList": grants}
        batch += [code, signed(payer, pair.nonce(payer) + 1, **call)]
    executed = pair.ours(batch)
    assert len(executed.block.transactions) == len(batch)


def test_a_long_chain_stays_the_same(pair: Pair) -> None:
    """Slots set, cleared and refunded, contracts destroyed and made again, over a chain that both follow."""
    before = pair.head.number
    for number in range(12):
        nonces = [pair.nonce(each) for each in SENDERS]
        word = [value.to_bytes(32) for value in (number % 5, number * (number % 3))]
        batch = [
            signed(SENDERS[0], nonces[0], to=COUNTER),
            signed(SENDERS[1], nonces[1], to=STORER, data=word[0] + word[1]),
            signed(SENDERS[2], nonces[2], to=STORER, data=word[0] + bytes(32)),
            signed(SENDERS[3], nonces[3], to=DOOMED, data=NOBODY.rjust(32, b"\0"), value=number),
            signed(SENDERS[4], nonces[4], data=init_code(bytes.fromhex("5f545f5260205ff3"))),
            signed(SENDERS[5], nonces[5], data=bytes.fromhex("32ff"), value=7),
            signed(SENDERS[6], nonces[6], to=COUNTER, value=1),
            signed(SENDERS[7], nonces[7], to=EMPTY, value=number % 2),
            *(signed(SENDERS[8], nonces[8] + step, to=NOBODY, value=1) for step in range(5)),
        ]
        executed = pair.ours(batch, withdrawals=[(number, 0, STORER, number)], timestamp=pair.head.timestamp + 7)
        assert len(executed.block.transactions) == len(batch)
        pair.append(executed)
        view, theirs = pair.native.view(pair.head.number), pair.geth.view(pair.head.number)
        for each in (*ACCOUNTS, COUNTER):
            assert (view.balance(each), view.nonce(each), view.code(each)) == (
                theirs.balance(each),
                theirs.nonce(each),
                theirs.code(each),
            )
        assert view.storage(STORER, number % 5) == theirs.storage(STORER, number % 5)
        assert pair.native.next_base_fee == pair.geth.next_base_fee
    assert pair.head.number == before + 12


def test_every_precompile_answers_the_same_and_right(pair: Pair) -> None:
    """Known answers at 0x06 to 0x0F and 0x100 (EIP-196, 197, 2537, 7951), through a contract that logs them."""
    batch = []
    for index, (_, target, data, _) in enumerate(VECTORS):
        sender = SENDERS[index % len(SENDERS)]
        nonce = pair.nonce(sender) + index // len(SENDERS)
        batch.append(signed(sender, nonce, to=RUNNER, data=target.to_bytes(32) + data, gas=2**22))
    executed = pair.ours(batch)
    logged = [receipt.logs[0][2] for receipt in executed.receipts]
    assert logged == [expected for _, _, _, expected in VECTORS]


@settings(SHARED, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(VECTORS), st.data()), min_size=4, max_size=10))
def test_damaged_inputs_of_precompiles_end_alike(pair: Pair, chosen: list[tuple[Any, st.DataObject]]) -> None:
    """Good inputs with bytes changed, cut off or added: points off the curve, out of the group, of wrong length."""
    batch = []
    for index, ((_, target, data, _), draw) in enumerate(chosen):
        damaged = bytearray(data)
        damaged[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(0, 255))
        end = draw.draw(st.sampled_from([len(data), len(data), len(data) - 1, len(data) // 2, 0]))
        call = target.to_bytes(32) + bytes(damaged[:end]) + draw.draw(st.sampled_from([b"", b"", b"\0", data]))
        batch.append(signed(SENDERS[index], pair.nonce(SENDERS[index]), to=RUNNER, data=call, gas=2**22))
    pair.ours(batch)


@settings(SHARED, max_examples=6)
@given(st.lists(fields(), min_size=1, max_size=6), choices())
def test_a_block_that_geth_builds_is_the_same_block_here(
    pair: Pair, wanted: list[dict[str, Any]], choice: dict[str, Any]
) -> None:
    """From geth's pool, and of a given list in a given order: our executor takes both, and comes to the same."""
    later = pair.head.timestamp + 1
    nonces = [pair.nonce(each) for each in SENDERS]
    batch = [signed(SENDERS[index], nonces[index], **each) for index, each in enumerate(wanted)]
    try:
        theirs = pair.geth.build(batch, timestamp=later, **choice)
    except DutyUndone:
        # geth refuses the whole list for one that cannot run (too little gas for what it costs to begin).
        assert pair.build(batch, timestamp=later, **choice).outcomes != [None] * len(batch)
    else:
        assert [each.hash for each in theirs.block.transactions] == [each.hash for each in batch]
        pair.same(pair.native.import_block(theirs.block.encoded), theirs)


def test_a_block_from_geths_pool_is_the_same_block_here(pair: Pair) -> None:
    """What wallets send to geth's port, in the order that geth chooses."""
    pooled = [
        signed(SENDERS[index], pair.nonce(SENDERS[index]) + step, to=COUNTER, maxPriorityFeePerGas=10**9 + index)
        for index in range(6)
        for step in range(3)
    ]
    for each in pooled:
        pair.process.engine.rpc.call("eth_sendRawTransaction", "0x" + each.encoded.hex())
    for _ in range(10):
        # geth fills a block behind our back, and answers what it has: on a loaded machine perhaps not all at once.
        theirs = pair.geth.build(
            [], beneficiary=NOBODY, timestamp=pair.head.timestamp + 1, prev_randao=bytes(32), extra_data=b"\x01" * 32
        )
        if len(theirs.block.transactions) == len(pooled):
            break
    assert {each.hash for each in theirs.block.transactions} == {each.hash for each in pooled}
    ours = pair.native.import_block(theirs.block.encoded)
    pair.same(ours, theirs)
    pair.append(ours)


def created_by(sender: bytes, nonce: int) -> bytes:
    """Where CREATE puts a contract (Yellow Paper §7)."""
    return bytes(keccak(rlp.encode([sender, nonce]))[12:])


def changed(new: NewPayload, **values: Any) -> NewPayload:
    """The block with other fields, under the hash that it has then."""
    return replace(new, payload=replace(new.payload, **values)).with_extra_data(new.payload.extra_data)


def flipped(raw: bytes, at: int = -1) -> bytes:
    """Bytes with one bit changed."""
    mutable = bytearray(raw)
    mutable[at] ^= 1
    return bytes(mutable)


def block_of(pair: Pair) -> NewPayload:
    """A good block with transactions, logs and withdrawals."""
    calls = [
        (COUNTER, b""),
        (STORER, bytes(31) + b"\x09" + bytes(31) + b"\x01"),
        (STORER, bytes(31) + b"\x09" + bytes(32)),
    ]
    batch = [
        signed(SENDERS[index], pair.nonce(SENDERS[index]), to=to, data=data) for index, (to, data) in enumerate(calls)
    ]
    executed = pair.ours(batch, withdrawals=[(1, 2, NOBODY, 3)])
    assert len(executed.block.transactions) == 3
    return from_block(executed.block.encoded)


LIES = {
    "state root": lambda new: changed(new, state_root=flipped(new.payload.state_root)),
    "receipts root": lambda new: changed(new, receipts_root=flipped(new.payload.receipts_root)),
    "bloom": lambda new: changed(new, logs_bloom=flipped(new.payload.logs_bloom)),
    "gas used": lambda new: changed(new, gas_used=new.payload.gas_used + 1),
    "base fee": lambda new: changed(new, base_fee_per_gas=new.payload.base_fee_per_gas + 1),
    "number": lambda new: changed(new, block_number=new.payload.block_number + 1),
    "earlier than its parent": lambda new: changed(new, timestamp=new.payload.timestamp - 2),
    "gas limit": lambda new: changed(new, gas_limit=new.payload.gas_limit * 2),
    "blob gas": lambda new: changed(new, blob_gas_used=131_072),
    "excess blob gas": lambda new: changed(new, excess_blob_gas=131_072),
    "withdrawal": lambda new: changed(new, withdrawals=(Withdrawal(1, 2, NOBODY, 4),)),
    "no withdrawal": lambda new: changed(new, withdrawals=()),
    "transaction left out": lambda new: changed(new, transactions=new.payload.transactions[1:]),
    "transaction twice": lambda new: changed(new, transactions=new.payload.transactions[:1] * 3),
    "other order": lambda new: changed(new, transactions=new.payload.transactions[::-1]),
    "signature bit": lambda new: changed(
        new, transactions=(flipped(new.payload.transactions[0]), *new.payload.transactions[1:])
    ),
    "calldata bit": lambda new: changed(
        new, transactions=(flipped(new.payload.transactions[0], 20), *new.payload.transactions[1:])
    ),
    "beneficiary": lambda new: changed(new, fee_recipient=b"\x01" * 20),
    "beacon root": lambda new: replace(new, parent_beacon_block_root=b"\x01" * 32).with_extra_data(b""),
    "requests": lambda new: replace(new, requests=(b"\x01" + bytes(76),)).with_extra_data(b""),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_block_that_lies_is_invalid_on_both(pair: Pair, lie: str) -> None:
    """Sealed again, so that only execution can tell: both refuse it, and both still take the honest one."""
    honest = block_of(pair)
    wrong = LIES[lie](honest)
    wrong.check()
    assert pair.process.engine.new_payload(wrong).status is Status.INVALID
    with pytest.raises(_native.ExecutionRefused):
        pair.native.import_block(to_block(wrong))
    with pytest.raises(_native.ExecutionRefused):
        pair.geth.import_block(to_block(wrong))
    assert pair.process.engine.new_payload(honest).status is Status.VALID


def test_a_payload_whose_hash_is_not_its_own_is_invalid(pair: Pair) -> None:
    """A bit of the state root changed and nothing else: geth finds it, and we do not even send it."""
    honest = block_of(pair)
    wrong = replace(honest, payload=replace(honest.payload, state_root=flipped(honest.payload.state_root)))
    assert pair.process.engine.new_payload(wrong).status is Status.INVALID
    with pytest.raises(PayloadInvalid, match="hash"):
        to_block(wrong)


def test_what_is_not_on_the_head_is_refused(pair: Pair) -> None:
    """Its parent is the head's parent, or nobody's."""
    honest = block_of(pair)
    for parent in (bytes(32), pair.head.parent_hash):
        wrong = changed(honest, parent_hash=parent)
        for executor in (pair.native, pair.geth):
            with pytest.raises(_native.ExecutionRefused):
                executor.import_block(to_block(wrong))


@pytest.mark.slow
def test_a_blob_transaction_waits_for_no_block(pair: Pair) -> None:
    """Our chain has no blobs: geth's pool drops them, and its blocks are ours to read."""
    sender = SENDERS[9]
    blob = {"type": 3, "chainId": CHAIN_ID, "nonce": pair.nonce(sender), "gas": 100_000, "to": NOBODY, "value": 0}
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9, "maxFeePerBlobGas": 10**10, "data": b""}
    raw = sender.sign_transaction(blob | fees, blobs=[bytes(131_072)]).raw_transaction
    engine = pair.process.engine
    sent = engine.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    assert engine.rpc.call("eth_getTransactionByHash", sent) is None
    with pytest.raises(_native.TransactionRefused):
        _native.Transaction.decode(bytes(raw))


def test_a_block_that_calls_a_native_precompile_is_another_on_geth(geth: Path, tmp_path: Path) -> None:
    """Block 0 does not say which forks of ours come: the first block that calls a verifier does."""
    first = genesis()
    ours = replace(first, forks={"verifiers": 0}).executor()[0]
    with GethProcess(first, GethSettings(geth, tmp_path)) as process:
        pair = Pair(first, process)
        call = signed(SENDERS[0], 0, to=RUNNER, data=VERIFIER.rjust(32, b"\0") + signed_by(1))
        attributes = {"beneficiary": NOBODY, "timestamp": 2_000, "prev_randao": bytes(32), "extra_data": b""}
        with_fork = ours.build([call], parent_beacon_block_root=bytes(32), **attributes)
        assert pair.ours([call], **attributes).block.hash != with_fork.block.hash
        with pytest.raises(_native.ExecutionRefused, match="invalid"):
            pair.geth.import_block(with_fork.block.encoded)


def test_where_the_two_differ(pair: Pair) -> None:
    """Ours takes several blocks of one second, and no transaction without chain id; geth the other way round. Ours keeps
    the gas limit; geth, as the Yellow Paper has it, lets it move by less than 1/1024."""
    same_second = pair.build([], timestamp=pair.head.timestamp)
    with pytest.raises(_native.ExecutionRefused, match="timestamp"):
        pair.geth.import_block(same_second.block.encoded)

    moved = changed(from_block(pair.build([]).block.encoded), gas_limit=pair.head.gas_limit + 1)
    assert pair.process.engine.new_payload(moved).status is Status.VALID
    with pytest.raises(_native.ExecutionRefused, match="gasLimit"):
        pair.native.import_block(to_block(moved))

    sender = SENDERS[0]
    legacy = {"nonce": pair.nonce(sender), "gas": 21_000, "gasPrice": 10**10, "to": NOBODY, "value": 1}
    everywhere = _native.Transaction.decode(bytes(sender.sign_transaction(legacy).raw_transaction))
    assert everywhere.chain_id is None
    assert pair.build([everywhere]).outcomes[0]
    theirs = pair.geth.build([everywhere], beneficiary=NOBODY, timestamp=pair.head.timestamp + 1, prev_randao=bytes(32))
    with pytest.raises(_native.ExecutionRefused):
        pair.native.import_block(theirs.block.encoded)
