"""Strict CBOR: one spelling of each item, bounded before anything is allocated, and no exception but ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provers.tee.simulation.cbor import encode
from verifier.attestation import cbor, cose
from verifier.attestation.cbor import head
from verifier.errors import InvalidInput

INTEGERS = st.integers(-(1 << 64), (1 << 64) - 1)
LEAVES = st.none() | st.booleans() | INTEGERS | st.binary(max_size=40) | st.text(max_size=20)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(INTEGERS | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def depth(value: Any) -> int:
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return 1 + max(map(depth, inner), default=0)


@given(ITEMS)
def test_what_is_encoded_is_read_back(value: Any) -> None:
    if depth(value) <= cbor.MAX_DEPTH:
        found = cbor.decode(encode(value), "x")
        assert found == value
        assert encode(found) == encode(value)


@given(st.binary(max_size=200))
def test_whatever_is_read_has_no_other_spelling(data: bytes) -> None:
    refusal = None
    try:
        found = cbor.decode(data, "x")
    except InvalidInput as error:
        refusal = (error.code, error.field)
    assert refusal == ("W3B-9101", "x") if refusal else encode(found) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "1800",  # 0 with a longer head than needed
        "190017",
        "1a0000ffff",
        "1b00000000ffffffff",
        "5f4101ff",  # indefinite byte string
        "9f01ff",
        "bf0102ff",
        "1c",
        "a201020103",  # the key 1 twice
        "a1416101",  # a byte string as key
        "a1f501",
        "62c328",  # no UTF-8
        "f7",  # undefined
        "f90000",  # a float
        "f800",
        "fb0000000000000000",
        "0000",  # two items
        "5bffffffffffffffff",  # a length that nobody has
        "9b7fffffffffffffff",
        "bb7fffffffffffffff",
        "9a00100000",
        "81" * 9 + "00",
        "c1" * 9 + "00",
        "a101" * 9 + "00",
        "81" * 20000,
        "8201",
        "45aabb",
    ],
)
def test_anything_else_is_refused(data: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cbor.decode(bytes.fromhex(data), "token")
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "token")


def test_items_are_counted_over_the_whole() -> None:
    """Many lists that are each small enough are too much together."""
    inner = encode([0] * 60)
    with pytest.raises(InvalidInput, match="items"):
        cbor.decode(head(4, 80) + inner * 80, "token")


@given(st.binary(max_size=120))
def test_a_sign1_of_random_bytes_is_our_error(data: bytes) -> None:
    for message in (data, encode(cbor.Tagged(18, [data, {}, data, data])), encode(cbor.Tagged(18, [data, data]))):
        with pytest.raises(InvalidInput) as caught:
            cose.parse(message, "realm")
        assert caught.value.field.startswith("realm")


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ([encode({1: -7}), {4: b"kid"}, b"", bytes(64)], "W3B-9101", "realm.unprotected"),
        ([encode({1: -7}), {}, b"", bytes(63)], "W3B-9101", "realm.signature"),
        ([encode({1: -35}), {}, b"", bytes(64)], "W3B-9101", "realm.signature"),
        ([encode({1: -8}), {}, b"", bytes(64)], "W3B-9102", "realm.protected.alg"),
        ([encode({1: True}), {}, b"", bytes(64)], "W3B-9102", "realm.protected.alg"),
        ([encode({}), {}, b"", bytes(64)], "W3B-9102", "realm.protected.alg"),
        ([encode({1: -7, 2: [1]}), {}, b"", bytes(64)], "W3B-9101", "realm.protected"),
        ([b"", {}, b"", bytes(64)], "W3B-9101", "realm.protected"),
        ([encode({1: -7}), [], b"", bytes(64)], "W3B-9101", "realm.unprotected"),
        ([encode({1: -7}), {}, None, bytes(64)], "W3B-9101", "realm"),
    ],
)
def test_a_sign1_says_what_is_wrong_with_it(parts: list[Any], code: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cose.parse(encode(cbor.Tagged(18, parts)), "realm")
    assert (caught.value.code, caught.value.field) == (code, field)
