"""`bls-fast-aggregate-verify` against py_ecc, and as a contract in Solidity asks it on a running chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from l1_wallet import CHAIN_ID, FEES, RICH, key, send
from py_ecc import optimized_bls12_381 as curve
from py_ecc.bls import G2ProofOfPossession as Pop
from py_ecc.bls.hash_to_curve import hash_to_field_FQ2, map_to_curve_G2
from py_ecc.bls.point_compression import compress_G1, compress_G2
from verifier_calls import (
    ADDRESS,
    INFINITY_KEY,
    INFINITY_SIGNATURE,
    MESSAGE,
    ask,
    gas,
    public,
    signed_by,
    vote,
)
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractLogicError

from l1.chain.genesis import Genesis
from l1.process import ChainProcess
from native import _native
from verifier.contracts.compile import compile_sources

SOURCE = Path(__file__).parent / "SignedByAll.sol"
ANSWER = {True: (1).to_bytes(32, "big"), False: bytes(32)}


@pytest.fixture(scope="module")
def view() -> _native.StateView:
    chain, _ = Genesis(chain_id=CHAIN_ID, forks={"verifiers": 0}).executor()
    return chain.view(0)


@pytest.mark.slow
@settings(max_examples=2, deadline=None)
@example(signers=[1, 3, 1], named=[3, 1, 1])
@example(signers=[1, 3, 1], named=[1, 3])
@given(
    signers=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    named=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_it_says_what_py_ecc_says(view: _native.StateView, signers: list[int], named: list[int]) -> None:
    """Keys may repeat, and their order says nothing."""
    signature = bytes(Pop.Aggregate([vote(index) for index in signers]))
    keys = [public(index) for index in named]
    want = Pop.FastAggregateVerify(keys, MESSAGE, signature)
    assert want is (sorted(signers) == sorted(named))
    result = ask(view, MESSAGE + signature + b"".join(keys))
    assert (result.status, result.output) == ("success", ANSWER[want])


def off_subgroup_key() -> bytes:
    """A point of the curve outside the subgroup, by y² = x³ + 4 alone."""
    modulus = curve.field_modulus
    for x in range(1, 100):
        y = pow(x**3 + 4, (modulus + 1) // 4, modulus)
        point = (curve.FQ(x), curve.FQ(y), curve.FQ.one())
        if y * y % modulus == (x**3 + 4) % modulus and not curve.is_inf(curve.multiply(point, curve.curve_order)):
            return int(compress_G1(point)).to_bytes(48, "big")
    raise AssertionError("some x below 100 has such a point")


def off_curve_key() -> bytes:
    modulus = curve.field_modulus
    for x in range(1, 100):
        if pow(x**3 + 4, (modulus - 1) // 2, modulus) == modulus - 1:
            return ((1 << 383) | x).to_bytes(48, "big")
    raise AssertionError("some x below 100 is on no point")


def off_subgroup_signature() -> bytes:
    """A twist's point, hashed to without clearing the cofactor."""
    (element,) = hash_to_field_FQ2(b"w3bstream", 1, b"w3bstream", hashlib.sha256)
    point = map_to_curve_G2(element)
    assert curve.is_on_curve(point, curve.b2)
    assert not curve.is_inf(curve.multiply(point, curve.curve_order))
    return b"".join(int(part).to_bytes(48, "big") for part in compress_G2(point))


GOOD = signed_by(2)
WRONG: list[tuple[str, bytes]] = [
    ("another message", bytes(32) + GOOD[32:]),
    ("another key", GOOD[:-48] + public(3)),
    ("a key less", GOOD[:-48]),
    ("a key twice", GOOD + GOOD[-48:]),
    ("another signature", GOOD[:32] + vote(1) + GOOD[128:]),
    ("infinity as signature", GOOD[:32] + INFINITY_SIGNATURE + GOOD[128:]),
]
MALFORMED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "0 bytes of input"),
    ("no key", GOOD[:128], "128 bytes of input"),
    ("cut short", GOOD[:-1], "223 bytes of input"),
    ("a byte more", GOOD + b"\x00", "225 bytes of input"),
    ("4,097 keys", GOOD[:128] + public(1) * 4_097, "1 to 4096 keys"),
    ("infinity as key", GOOD + INFINITY_KEY, "key 2: public key: the point at infinity"),
    ("a key off the curve", GOOD + off_curve_key(), "key 2: public key: the point is not on the curve"),
    ("a key outside the subgroup", GOOD + off_subgroup_key(), "key 2: public key: the point is outside the subgroup"),
    ("a key of zeros", GOOD + bytes(48), "key 2: public key: not the canonical encoding"),
    ("a signature of zeros", GOOD[:32] + bytes(96) + GOOD[128:], "signature: not the canonical encoding"),
    (
        "a signature outside the subgroup",
        GOOD[:32] + off_subgroup_signature() + GOOD[128:],
        "signature: the point is outside the subgroup",
    ),
]


@pytest.mark.parametrize("data", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_signature_that_does_not_hold_is_an_answer(view: _native.StateView, data: bytes) -> None:
    result = ask(view, data)
    assert (result.status, result.output) == ("success", ANSWER[False])


@pytest.mark.parametrize(("data", "reason"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed_input_fails_and_takes_all_gas(view: _native.StateView, data: bytes, reason: str) -> None:
    result = ask(view, data, 45_000_000)
    assert (result.status, result.output, result.gas_used) == ("halt", b"", 45_000_000)
    assert reason in result.halt_reason


@pytest.fixture(scope="module")
def artifact() -> dict[str, Any]:
    _, contracts = compile_sources({SOURCE.name: SOURCE.read_text()})
    return contracts[SOURCE.name]["SignedByAll"]


def client(folder: Path, artifact: dict[str, Any], config: dict[str, Any]) -> Iterator[Contract]:
    """The contract on a chain of its own with this config."""
    genesis = folder / "genesis.json"
    alloc = {key(1).address: {"balance": str(RICH)}}
    genesis.write_text(json.dumps({"chainId": CHAIN_ID, "config": config, "alloc": alloc}))
    options = ["--min-interval", "0.05", "--block-time", "1"]
    with ChainProcess(folder / "chain", genesis, options=options) as node:
        web3 = Web3(Web3.HTTPProvider(node.rpc_url))
        code = artifact["evm"]["bytecode"]["object"]
        address = send(web3, key(1), data="0x" + code, gas=1_000_000)["contractAddress"]
        yield web3.eth.contract(address, abi=artifact["abi"])


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory, artifact: dict[str, Any]) -> Iterator[Contract]:
    yield from client(tmp_path_factory.mktemp("active"), artifact, {"w3bstream": {"verifiersBlock": 0}})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, artifact: dict[str, Any]) -> Iterator[Contract]:
    yield from client(tmp_path_factory.mktemp("absent"), artifact, {})


def parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    return data[:32], data[32:128], data[128:]


def test_a_contract_counts_what_all_signed(contract: Contract) -> None:
    accept = contract.functions.accept
    assert accept(*parts(GOOD)).call() is True
    assert accept(*parts(WRONG[0][1])).call() is False
    call = accept(*parts(GOOD)).build_transaction({"from": key(1).address, "gas": 1_000_000, "nonce": 0, **FEES})
    receipt = send(contract.w3, key(1), to=contract.address, data=call["data"], gas=1_000_000)
    assert receipt["status"] == 1
    assert gas(2) < receipt["gasUsed"] < gas(2) + 80_000
    assert contract.functions.accepted().call() == 1


def test_a_contract_that_gives_the_schedules_gas_loses_no_more_to_malformed_input(contract: Contract) -> None:
    accept = contract.functions.accept(GOOD[:32], bytes(96), GOOD[128:])
    with pytest.raises(ContractLogicError, match="malformed"):
        accept.call()
    data = accept.build_transaction({"from": key(1).address, "gas": 1_000_000, "nonce": 0, **FEES})["data"]
    receipt = send(contract.w3, key(1), to=contract.address, data=data, gas=1_000_000)
    assert receipt["status"] == 0
    assert gas(2) < receipt["gasUsed"] < gas(2) + 80_000


def test_without_the_fork_a_contract_is_not_deceived(elsewhere: Contract) -> None:
    with pytest.raises(ContractLogicError):
        elsewhere.functions.accept(*parts(GOOD)).call()
    raw = {"to": Web3.to_checksum_address(ADDRESS), "data": GOOD}
    assert bytes(elsewhere.w3.eth.call(raw)) == b""


@pytest.mark.parametrize("count", [1, 2, 4])
def test_gas_is_the_pages_formula(contract: Contract, count: int) -> None:
    data = signed_by(count)
    zeros = data.count(0)
    transaction = {"to": Web3.to_checksum_address(ADDRESS), "data": data}
    assert contract.w3.eth.estimate_gas(transaction) == 21_000 + 4 * zeros + 16 * (len(data) - zeros) + gas(count)
