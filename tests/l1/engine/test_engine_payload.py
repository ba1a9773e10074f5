"""Blocks and payloads are the same thing in two forms: nothing is lost, and nothing that was changed passes."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rlp
from engine_world import COUNTER, NOBODY, SENDERS, genesis, signed
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from l1.engine.payload import (
    NewPayload,
    PayloadInvalid,
    Withdrawal,
    from_block,
    from_json,
    parse_quantity,
    requests_hash,
    to_block,
    to_json,
)
from native import _native

HOODI = json.loads((Path(__file__).parent / "hoodi-772457.json").read_text())["params"]


@cache
def hoodi() -> NewPayload:
    """A block of a public network, with a blob transaction and sixteen withdrawals."""
    payload, _, root, requests = HOODI
    return NewPayload(from_json(payload), bytes.fromhex(root[2:]), tuple(bytes.fromhex(each[2:]) for each in requests))


@cache
def honest() -> bytes:
    """RLP of one of them."""
    return our_block().encoded


def our_block(count: int = 3, **choice: Any) -> _native.Block:
    """A block of our executor."""
    chain, first = genesis().executor()
    batch = [signed(SENDERS[index], 0, to=COUNTER, value=index) for index in range(count)]
    attributes = {"beneficiary": NOBODY, "timestamp": first.timestamp + 1, "prev_randao": first.hash, "extra_data": b""}
    return chain.build(batch, **(attributes | {"parent_beacon_block_root": bytes(32)} | choice)).block


def test_a_block_of_a_public_network_has_its_own_hash() -> None:
    """Header, lists and commitments are encoded as Ethereum does: the hash is the one the network decided."""
    block = hoodi()
    block.check()
    assert ["0x" + each.hex() for each in block.versioned_hashes] == HOODI[1]
    raw = to_block(block)
    assert keccak(rlp.encode(rlp.decode(raw)[0])) == block.payload.block_hash
    assert from_block(raw) == block
    assert to_json(block.payload) == HOODI[0]


@given(st.data())
def test_a_changed_field_changes_the_hash(data: st.DataObject) -> None:
    """Every field of a payload, and what stands beside it, is under the block's hash."""
    block = hoodi()
    names = [each.name for each in fields(block.payload)]
    name = data.draw(st.sampled_from([*names, "parent_beacon_block_root", "requests"]))
    holder = block if name in ("parent_beacon_block_root", "requests") else block.payload
    value = getattr(holder, name)
    other: Any
    if name == "requests":
        other = (b"\x01" + data.draw(st.binary(min_size=1, max_size=40)),)
    elif isinstance(value, int):
        other = data.draw(st.integers(0, 2**64 - 1).filter(lambda number: number != value))
    elif isinstance(value, bytes):
        size = len(value) or 7
        other = data.draw(st.binary(min_size=size, max_size=size).filter(lambda raw: raw != value))
    else:
        keep = data.draw(st.integers(0, len(value) - 1))
        other = value[:keep] + value[keep + 1 :]
    changed = replace(holder, **{name: other})
    wrong = changed if isinstance(changed, NewPayload) else replace(block, payload=changed)
    with pytest.raises(PayloadInvalid, match="hash"):
        to_block(wrong)


U64 = st.integers(0, 2**64 - 1)
WITHDRAWALS = st.builds(Withdrawal, U64, U64, st.binary(min_size=20, max_size=20), st.integers(0, 2**40))


@settings(max_examples=30)
@given(st.integers(0, 4), st.binary(max_size=32), st.lists(WITHDRAWALS, max_size=4))
def test_blocks_of_our_executor_come_back(count: int, extra_data: bytes, paid: list[Withdrawal]) -> None:
    """RLP to payload, to JSON, and back to the same RLP, with every withdrawal."""
    items = [(each.index, each.validator_index, each.address, each.amount) for each in paid]
    block = our_block(count, extra_data=extra_data, withdrawals=items)
    new = from_block(block.encoded)
    assert new.payload.block_hash == block.hash
    assert new.payload.withdrawals == tuple(paid)
    again = replace(new, payload=from_json(json.loads(json.dumps(to_json(new.payload)))))
    assert to_block(again) == block.encoded


def test_other_extra_data_is_another_block_with_its_own_hash() -> None:
    """What geth leaves empty can be set: the hash follows, and our executor reads it."""
    block = our_block()
    new = from_block(block.encoded).with_extra_data(b"\x07" * 32)
    decoded = _native.Block.decode(to_block(new))
    assert decoded.extra_data == b"\x07" * 32
    assert decoded.hash == new.payload.block_hash != block.hash
    assert decoded.state_root == block.state_root


@given(st.integers(0, 3), st.binary(min_size=1, max_size=40))
def test_lists_that_the_header_does_not_commit_to_are_refused(place: int, junk: bytes) -> None:
    """Somebody else's transactions, ommers or withdrawals under an honest header; and no block at all."""
    parts = rlp.decode(honest())
    if place == 0:
        parts[0] = parts[0][:-1]
    else:
        parts[place] = [*parts[place], [junk] * 4 if place == 3 else junk]
    with pytest.raises(PayloadInvalid):
        from_block(rlp.encode(parts))
    with pytest.raises(PayloadInvalid):
        from_block(junk)


@given(st.data())
def test_malformed_payloads_are_refused(data: st.DataObject) -> None:
    """A field that is missing, of another kind, of another length, or a number with leading zeros."""
    document = dict(HOODI[0])
    name = data.draw(st.sampled_from(sorted(document)))
    wrong: list[Any] = [None, 7, "7", "0x0g", {}, [3], "0x" + "00" * 300, "0x01"]
    if name in ("transactions", "withdrawals"):
        wrong += [["0x"], [{}], [{"index": "0x1"}]]
    if name == "extraData":
        wrong.remove("0x01")
    kept = data.draw(st.sampled_from([*wrong, "absent"]))
    if kept == "absent":
        del document[name]
    else:
        document[name] = kept
    with pytest.raises(PayloadInvalid):
        from_json(document)


def test_requests_are_committed_to_as_eip_7685_says() -> None:
    """sha256 over the requests' sha256, those without data left out."""
    first, second = b"\x00deposit", b"\x01withdrawal"
    assert requests_hash([]) == sha256(b"").digest() == our_block().requests_hash
    assert requests_hash([first, second]) == sha256(sha256(first).digest() + sha256(second).digest()).digest()
    assert requests_hash([first, b"\x01"]) == requests_hash([first])


@given(st.integers(0, 2**256))
def test_quantities(number: int) -> None:
    """Hexadecimal without leading zeros, and nothing else (execution-apis)."""
    assert parse_quantity(hex(number), "x") == number
    for wrong in (str(number), "0x0" + hex(number)[2:], "-" + hex(number), "0x", number):
        with pytest.raises(PayloadInvalid):
            parse_quantity(wrong, "x")
