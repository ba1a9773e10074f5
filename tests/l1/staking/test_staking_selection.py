"""Size of the active set, draws, ranks and order."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from functools import cmp_to_key
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from l1.staking.address import bech32, five_bit_groups, io_address
from l1.staking.parameters import IIP_53, WAKE
from l1.staking.ranking import sort_by_score
from l1.staking.sampling import (
    CONSTANT_SEED,
    active_set_size,
    below,
    delegate_order,
    draw_without_replacement,
    election_seed,
)
from verifier.contracts.compile import NODE_MODULES, node

CHECKS = {36: 24, 37: 36, 54: 36, 55: 48, 120: 84, 199: 144}
WEIGHTS = st.lists(st.integers(1, 10**27), min_size=1, max_size=60)
SEEDS = st.binary(min_size=8, max_size=32)


@pytest.mark.parametrize("qualified", range(301))
def test_active_set_size(qualified: int) -> None:
    size = active_set_size(IIP_53, qualified)
    assert size == CHECKS.get(qualified, size)
    assert size <= min(qualified, 144)
    if qualified < 24:
        assert size == qualified
        return
    assert size % 12 == 0
    assert size >= 24
    assert size == 144 or size == 24 or 3 * size >= 2 * qualified > 3 * (size - 12)
    assert (size == 144) == (qualified >= 199)
    assert size >= active_set_size(IIP_53, qualified - 1) >= 23


@given(weights=WEIGHTS, seed=SEEDS, epoch=st.integers(1, 2**40), data=st.data())
def test_draws_are_distinct_and_each_prefix_is_a_smaller_draw(
    weights: list[int], seed: bytes, epoch: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(weights)))
    drawn = draw_without_replacement(weights, count, seed, epoch)
    assert len(set(drawn)) == count
    assert set(drawn) <= set(range(len(weights)))
    assert draw_without_replacement(weights, count // 2, seed, epoch) == drawn[: count // 2]


def test_draws_follow_the_weights() -> None:
    weights = [5, 3, 2]
    first = Counter(draw_without_replacement(weights, 1, b"seed", epoch)[0] for epoch in range(20_000))
    # Four standard deviations of a binomial share.
    for at, weight in enumerate(weights):
        share = weight / 10
        assert abs(first[at] / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5


def test_a_draw_is_the_hash_of_seed_epoch_and_turn() -> None:
    weights = [10, 20, 30]
    word = int.from_bytes(keccak(b"seed" + (7).to_bytes(8, "big") + bytes(8)), "big")
    point = word % 60
    assert draw_without_replacement(weights, 1, b"seed", 7) == [0 if point < 10 else 1 if point < 30 else 2]


@given(total=st.integers(1, 2**255))
def test_the_incomplete_last_interval_is_refused(total: int) -> None:
    whole = 2**256 // total * total
    assert below(whole - 1, total) == total - 1
    assert below(0, total) == 0
    if whole < 2**256:
        assert below(whole, total) is None
        assert below(2**256 - 1, total) is None


def test_a_refused_word_is_followed_by_the_next() -> None:
    # Weights of nearly 2^255 make about half of all words fall into the refused rest.
    weights = [2**254 + 1, 2**254 + 1]
    refused = 0
    for epoch in range(64):
        word = int.from_bytes(keccak(b"s" + epoch.to_bytes(8, "big") + bytes(8)), "big")
        refused += below(word, sum(weights)) is None
        assert sorted(draw_without_replacement(weights, 2, b"s", epoch)) == [0, 1]
    assert 10 < refused < 54


@given(
    st.lists(st.integers(0, 2**160 - 1).map(lambda number: number.to_bytes(20, "big")), max_size=30, unique=True),
    SEEDS,
    st.integers(1, 2**63),
)
def test_delegate_order_is_by_hash_and_does_not_depend_on_the_input_order(
    operators: list[bytes], seed: bytes, height: int
) -> None:
    ordered = [operators[at] for at in delegate_order(operators, seed, height)]
    assert sorted(ordered) == sorted(operators)
    hashes = [keccak(io_address(each).encode() + seed + height.to_bytes(8, "little")) for each in ordered]
    assert hashes == sorted(hashes)
    backwards = operators[::-1]
    assert [backwards[at] for at in delegate_order(backwards, seed, height)] == ordered


def test_seeds() -> None:
    assert election_seed(WAKE, b"\x01" * 32) == CONSTANT_SEED == bytes.fromhex("1234567890abcdef")
    assert election_seed(IIP_53, b"\x01" * 32) == b"\x01" * 32


@given(st.lists(st.tuples(st.text("abc0", max_size=3), st.integers(0, 3)), max_size=12, unique_by=lambda each: each[0]))
def test_ranks_are_those_of_iotex_elections_less(scores: list[tuple[str, int]]) -> None:
    def priority(name: str) -> int:
        digest = hashlib.blake2b(name.encode() + (99).to_bytes(8, "little"), digest_size=32).digest()
        return int.from_bytes(digest[:8], "little")

    def compare(a: tuple[str, int], b: tuple[str, int]) -> int:
        # util.go, itemList.Less: more votes first, then the higher priority, then the later name.
        if a[1] != b[1]:
            return -1 if a[1] > b[1] else 1
        if priority(a[0]) != priority(b[0]):
            return -1 if priority(a[0]) > priority(b[0]) else 1
        return -1 if a[0] > b[0] else 1

    assert [scores[at] for at in sort_by_score(scores, 99)] == sorted(scores, key=cmp_to_key(compare))


def test_bech32_of_bip_173() -> None:
    program = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
    assert bech32("bc", [0, *five_bit_groups(program)]) == "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    assert bech32("a", []) == "a12uel5l"
    assert bech32("abcdef", list(range(32))) == "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"


@settings(max_examples=1, deadline=None)
@given(st.lists(st.binary(min_size=20, max_size=20), min_size=200, max_size=200))
def test_io_addresses_are_those_of_npms_bech32(addresses: list[bytes]) -> None:
    script = (
        "const bech32 = require(process.argv[1]);"
        "console.log(JSON.stringify(JSON.parse(process.argv[2]).map("
        "(each) => bech32.encode('io', bech32.toWords(Buffer.from(each, 'hex'))))));"
    )
    listed = json.dumps([each.hex() for each in addresses])
    run = subprocess.run(
        [node(), "-e", script, str(Path(NODE_MODULES) / "bech32"), listed], capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) == [io_address(each) for each in addresses]
