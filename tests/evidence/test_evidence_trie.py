"""Our RLP and Merkle-Patricia code against py-rlp and py-trie, and against proofs that show something else."""

from __future__ import annotations

import contextlib
import random

import pytest
import rlp as other_rlp
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie

from verifier.errors import Refused
from verifier.evidence import rlp
from verifier.evidence.blocks import Header, Receipt, Transaction
from verifier.evidence.trie import EMPTY_ROOT, Trie, position_key, verify_inclusion

values = st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=80), min_size=1, max_size=24)


def theirs(items: dict[bytes, bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for key, value in items.items():
        trie[key] = value
    return trie


def their_proof(trie: HexaryTrie, key: bytes) -> list[bytes]:
    """py-trie's proof without the nodes that stand inside their parent."""
    nodes = [other_rlp.encode(node) for node in trie.get_proof(key)]
    return [node for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


@given(values)
def test_roots_and_proofs_are_py_tries(items: dict[bytes, bytes]) -> None:
    trie, peer = Trie(items), theirs(items)
    assert trie.root == peer.root_hash
    for key, value in items.items():
        proof = trie.prove(key)
        assert proof == their_proof(peer, key)
        assert verify_inclusion(trie.root, key, proof) == value


@pytest.mark.parametrize("count", [1, 2, 16, 17, 127, 128, 129, 300])
def test_positions_of_a_block(count: int) -> None:
    source = random.Random(count)
    items = {position_key(at): source.randbytes(source.choice([1, 3, 20, 33, 200])) for at in range(count)}
    trie = Trie(items)
    assert trie.root == theirs(items).root_hash
    for at in {0, 1, count // 2, count - 1} & set(range(count)):
        key = position_key(at)
        assert verify_inclusion(trie.root, key, trie.prove(key)) == items[key]


@given(values, st.binary(min_size=1, max_size=4))
def test_what_is_not_there_cannot_be_shown(items: dict[bytes, bytes], key: bytes) -> None:
    """py-trie proves exclusion with the same nodes: they must not pass for inclusion."""
    if key in items:
        return
    proof = their_proof(theirs(items), key)
    with pytest.raises(Refused):
        verify_inclusion(Trie(items).root, key, proof)
    with pytest.raises(KeyError):
        Trie(items).prove(key)


@given(values, st.data())
def test_a_changed_proof_is_refused(items: dict[bytes, bytes], data: st.DataObject) -> None:
    trie, key = Trie(items), data.draw(st.sampled_from(sorted(items)))
    proof = trie.prove(key)
    at = data.draw(st.integers(0, len(proof) - 1))
    node = bytearray(proof[at])
    node[data.draw(st.integers(0, len(node) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed = [*proof[:at], bytes(node), *proof[at + 1 :]]
    dropped = [*proof[:at], *proof[at + 1 :]]
    doubled = [*proof[:at], proof[at], *proof[at:]]
    for each in (changed, dropped, doubled, [*proof, proof[-1]], [], proof[::-1] if len(proof) > 1 else []):
        with pytest.raises(Refused) as refused:
            verify_inclusion(trie.root, key, each)
        assert refused.value.code == "W3B-9003"


def test_an_inner_node_is_no_value() -> None:
    """A branch's child named by its hash must not pass for a value of 32 bytes, nor a value for a node."""
    items = {bytes((at,)): bytes([at]) * 40 for at in range(40)}
    trie = Trie(items)
    with pytest.raises(Refused):
        verify_inclusion(trie.root, b"", trie.prove(b"\x00")[:1])
    leaf = keccak(b"node")
    single = Trie({b"\x01": leaf})
    with pytest.raises(Refused):
        verify_inclusion(single.root, b"\x01\x02", [*single.prove(b"\x01"), b"node"])


def test_a_node_inside_its_parent_must_be_short() -> None:
    long: list[rlp.Item] = [bytes((0x20,)), bytes(40)]
    branch: list[rlp.Item] = [long, *[b""] * 16]
    written = rlp.encode(branch)
    with pytest.raises(Refused, match="inside its parent"):
        verify_inclusion(keccak(written), b"\x00", [written])


def test_the_empty_trie() -> None:
    assert Trie({}).root == EMPTY_ROOT == HexaryTrie({}).root_hash
    with pytest.raises(Refused):
        verify_inclusion(EMPTY_ROOT, position_key(0), [rlp.encode(b"")])


items_of_rlp = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(items_of_rlp)
def test_rlp_is_py_rlps(item: rlp.Item) -> None:
    written = rlp.encode(item)
    assert written == other_rlp.encode(item)
    assert rlp.decode(written) == item


@given(st.binary(max_size=120))
def test_rlp_has_one_spelling(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except Refused:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "8100",  # one small byte with a length
        "b800",  # a long form for a short string
        "b83800",
        "b90038" + "00" * 56,  # a leading zero in the length
        "83ffff",  # too short
        "c3ffff",
        "c0c0",  # a second item
        "f800",
        "c1" * 40 + "c0",
        "ff" + "ff" * 8,
        "bf" + "ff" * 8,
    ],
)
def test_rlp_that_is_not_canonical_is_refused(data: str) -> None:
    with pytest.raises(Refused) as refused:
        rlp.decode(bytes.fromhex(data))
    assert refused.value.code == "W3B-9003"


def test_rlp_ends_at_its_depth() -> None:
    deep = b"\xc0"
    for _ in range(5000):
        deep = _wrapped(deep)
    with pytest.raises(Refused, match="levels"):
        rlp.decode(deep)


def _wrapped(body: bytes) -> bytes:
    return rlp._head(0xC0, len(body)) + body


@given(
    st.binary(max_size=200) | items_of_rlp.map(rlp.encode) | items_of_rlp.map(lambda item: b"\x02" + rlp.encode(item))
)
def test_any_bytes_as_header_transaction_or_receipt_are_refused_in_words(data: bytes) -> None:
    for read in (Header.decode, Transaction.decode, Receipt.decode):
        with contextlib.suppress(Refused):  # any other exception would reach a stranger as a stack trace
            read(data)
