"""Forks in the genesis file: what they say, what they leave as it is, and that a chain keeps to them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from l1_wallet import CHAIN_ID, key, sign
from verifier_calls import ADDRESS, ask, gas, signed_by

from l1.chain import blockchain
from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis, GenesisAccount, GenesisInvalid, parse_genesis
from l1.chain.producer import build_block
from l1.chain.store import StoreError
from native import _native

BLOCKS = st.integers(0, 2**64 - 1)
SCHEDULES = st.dictionaries(st.sampled_from(_native.FORKS), BLOCKS)
INPUT = signed_by(2)
SENDER = bytes.fromhex(key(1).address[2:])
ONE = (1).to_bytes(32, "big")


def genesis(**forks: int) -> Genesis:
    return Genesis(chain_id=CHAIN_ID, alloc={SENDER: GenesisAccount(balance=10**24)}, forks=forks)


def grow(chain: Blockchain, count: int, *, calls: int = 1) -> None:
    """Blocks with so many calls of the verifier each."""
    for _ in range(count):
        number = chain.head_number + 1
        nonce = chain.view(chain.head_number).nonce(SENDER)
        raw = [sign(key(1), CHAIN_ID, nonce + each, to="0x" + ADDRESS.hex(), data=INPUT) for each in range(calls)]
        chain.commit(build_block(chain, [_native.Transaction.decode(each) for each in raw], bytes(20), number))


@given(SCHEDULES)
def test_a_file_says_what_the_value_says(forks: dict[str, int]) -> None:
    made = genesis(**forks)
    assert parse_genesis(json.loads(made.to_json())) == made


@given(SCHEDULES)
def test_forks_are_no_part_of_block_0(forks: dict[str, int]) -> None:
    assert genesis(**forks).executor()[1].hash == genesis().executor()[1].hash


def test_a_file_without_forks_has_the_hash_that_it_always_had() -> None:
    """The hash is that of the executor before it knew of forks."""
    document = {"alloc": {"0x" + "11" * 20: {"balance": 7}}}
    made = parse_genesis(document)
    assert made.forks == {}
    assert "config" not in json.loads(made.to_json())
    assert made.executor()[1].hash.hex() == "7bf0baaa905dcd113d855c4c8816ddb88438efcddce4318cd001744ba0335664"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "config: expected an object"),
        ({"osakaTime": 0}, "config: unknown key 'osakaTime'; allowed are w3bstream"),
        ({"w3bstream": 3}, "config.w3bstream: expected an object"),
        (
            {"w3bstream": {"verifierBlock": 0}},
            "'verifierBlock'; allowed are attestationBlock, verifiersBlock",
        ),
        ({"w3bstream": {"verifiersBlock": -1}}, "verifiersBlock: -1 is not in"),
        ({"w3bstream": {"verifiersBlock": 2**64}}, "is not in"),
        ({"w3bstream": {"verifiersBlock": True}}, "expected an integer"),
        ({"w3bstream": {"verifiersBlock": None}}, "expected an integer"),
    ],
)
def test_a_wrong_config_is_refused(config: Any, message: str) -> None:
    with pytest.raises(GenesisInvalid, match=message):
        parse_genesis({"config": config})


def test_the_executor_refuses_a_fork_that_it_does_not_know() -> None:
    with pytest.raises(GenesisInvalid, match='there is no fork "osaka"'):
        genesis(osaka=0).executor()


@given(SCHEDULES, SCHEDULES, st.integers(0, 2**64 - 1))
def test_two_files_agree_until_the_first_fork_in_which_they_differ(
    one: dict[str, int], other: dict[str, int], number: int
) -> None:
    differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    first = min((min(each[name] for each in (one, other) if name in each) for name in differing), default=None)
    agree = first is None or number < first
    assert genesis(**one).same_until(genesis(**other), number) is agree
    richer = replace(genesis(**other), gas_limit=1_000_000)
    assert not genesis(**one).same_until(richer, number)


def test_a_verifier_answers_from_its_forks_block_on() -> None:
    chain, _ = genesis(verifiers=2).executor()
    for number, want in ((1, b""), (2, ONE), (3, ONE)):
        block = chain.build(
            [],
            beneficiary=bytes(20),
            timestamp=number,
            prev_randao=bytes(32),
            parent_beacon_block_root=bytes(32),
            extra_data=b"",
        )
        assert ask(chain.view_of(block), INPUT).output == want
        chain.append(block)
        assert ask(chain.view(number), INPUT).output == want


def test_a_restart_over_a_snapshot_keeps_the_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot holds the state only; the rules come from the genesis again."""
    monkeypatch.setattr(blockchain, "SNAPSHOT_INTERVAL", 64)
    chain = Blockchain(tmp_path, genesis(verifiers=0))
    grow(chain, 64 + _native.STATE_HISTORY, calls=0)
    grow(chain, 3)
    head = chain.head_hash
    assert chain.head.block.gas_used > gas(2)
    chain.close()
    again = Blockchain(tmp_path, None)
    assert again.head_hash == head
    assert ask(again.view(again.head_number), INPUT).output == ONE
    grow(again, 1)
    again.close()


def test_a_running_chain_takes_a_fork_that_is_still_to_come(tmp_path: Path) -> None:
    chain = Blockchain(tmp_path, genesis())
    grow(chain, 3)
    chain.close()
    for late in (0, 3):
        with pytest.raises(StoreError, match="another genesis"):
            Blockchain(tmp_path, genesis(verifiers=late))
    chain = Blockchain(tmp_path, genesis(verifiers=5))
    grow(chain, 1)
    assert ask(chain.view(4), INPUT).output == b""
    grow(chain, 1)
    assert ask(chain.view(5), INPUT).output == ONE
    chain.close()
    with pytest.raises(StoreError, match="another genesis"):
        Blockchain(tmp_path, genesis())
    kept = Blockchain(tmp_path, None)
    assert ask(kept.view(5), INPUT).output == ONE
    kept.close()
