"""What may follow the head, and who is to blame for what may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from l1_independent import list_root
from l1_wallet import CHAIN_ID, key, sign
from nodes_cluster import make_genesis

from l1.chain.blockchain import Blockchain
from l1.chain.genesis_delegates import delegate_set
from l1.nodes.keys import derive
from l1.nodes.validation import BlockRefused, execute, ordered_root, read_block
from native import _native

KEYS = derive(b"delegates that validate blocks..", 4)
GENESIS = make_genesis(KEYS)
SET = delegate_set(GENESIS.delegates)


@pytest.fixture(scope="module")
def chain(memory: Path) -> Iterator[Blockchain]:
    opened = Blockchain(memory / "chain", GENESIS)
    yield opened
    opened.close()


def block(chain: Blockchain, values: list[int], **changes: Any) -> _native.Block:
    transactions = [
        _native.Transaction.decode(sign(key(1), CHAIN_ID, nonce, to=key(2).address, value=value))
        for nonce, value in enumerate(values)
    ]
    head = chain.head.block
    attributes: dict[str, Any] = {
        "beneficiary": KEYS[1].address,
        "timestamp": int(time.time()),
        "prev_randao": head.hash,
        "extra_data": SET.root(),
    }
    return chain.build(transactions, **(attributes | changes)).block


@given(items=st.lists(st.binary(min_size=1, max_size=80), max_size=300))
def test_the_root_is_that_of_an_independent_trie(items: list[bytes]) -> None:
    assert ordered_root(items) == list_root(items)


def test_an_honest_block_may_follow(chain: Blockchain) -> None:
    made = block(chain, [1, 2, 3])
    assert ordered_root([each.encoded for each in made.transactions]) == made.transactions_root
    assert execute(chain, read_block(made.encoded, made.hash), SET).block.hash == made.hash
    assert chain.head_number == 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prev_randao": b"\x01" * 32}, "mixHash"),
        ({"extra_data": b"\x02" * 32}, "extraData"),
        ({"extra_data": b""}, "extraData"),
        ({"beneficiary": b"\x03" * 20}, "beneficiary"),
        ({"parent_beacon_block_root": b"\x04" * 32}, "parentBeaconBlockRoot"),
    ],
)
def test_a_header_that_the_producer_chose_wrongly(changes: dict[str, Any], named: str, chain: Blockchain) -> None:
    with pytest.raises(BlockRefused, match=named) as refused:
        execute(chain, block(chain, [1], **changes), SET)
    assert refused.value.reason == "rules"


def with_header(made: _native.Block, at: int, value: bytes) -> _native.Block:
    header, *body = rlp.decode(made.encoded)
    header = [*header]
    header[at] = value
    return _native.Block.decode(bytes(rlp.encode([header, *body])))


@pytest.mark.parametrize(("at", "named"), [(0, "parentHash"), (3, "stateRoot"), (5, "receiptsRoot"), (8, "number")])
def test_a_header_that_execution_does_not_bear_out(at: int, named: str, chain: Blockchain) -> None:
    made = block(chain, [1])
    value = b"\x07" if at == 8 else b"\x07" * 32
    with pytest.raises(BlockRefused, match=named) as refused:
        execute(chain, with_header(made, at, value), SET)
    assert refused.value.reason == "rules"


def test_a_block_before_its_parent(memory: Path) -> None:
    opened = Blockchain(memory / "late", GENESIS)
    opened.commit(opened.build([], beneficiary=KEYS[0].address, timestamp=2_000, prev_randao=opened.head_hash))
    made = block(opened, [], timestamp=2_000)
    with pytest.raises(BlockRefused, match="before the parent's") as refused:
        execute(opened, with_header(made, 11, (1_999).to_bytes(2)), SET)
    assert refused.value.reason == "rules"
    opened.close()


def test_other_transactions_under_an_honest_header_are_their_senders_fault(chain: Blockchain) -> None:
    """The hash is the header's: a peer could otherwise make an honest proposal look invalid."""
    honest, other = block(chain, [1, 2]), block(chain, [9])
    header = rlp.decode(honest.encoded)[0]
    for source in (other, block(chain, [])):
        body = rlp.decode(source.encoded)[1:]
        mixed = read_block(bytes(rlp.encode([header, *body])), honest.hash)
        with pytest.raises(BlockRefused, match="header commits to") as refused:
            execute(chain, mixed, SET)
        assert refused.value.reason == "body"


def test_bytes_that_are_no_block_or_another(chain: Blockchain) -> None:
    made = block(chain, [1])
    for raw, block_hash in ((b"\xc0", None), (made.encoded + b"\x00", None), (made.encoded, b"\x01" * 32)):
        with pytest.raises(BlockRefused) as refused:
            read_block(raw, block_hash)
        assert refused.value.reason == "body"
