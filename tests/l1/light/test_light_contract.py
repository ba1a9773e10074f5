"""The Solidity light client refuses and accepts what the Python one does, for the same reason."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from light_chain import point_of
from light_headers import CHANGES, NO_HEADERS, NOW, header
from light_world import KEYS, World, refused, world

from l1.consensus.machine import Topic
from l1.light.client import NotFinal

# --- the same verdict as the Python client ---

SIZES = st.sampled_from([1, 4, 8, 9, 24])


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_any_subset_of_signers_gets_the_same_verdict(count: int, data: st.DataObject) -> None:
    """Votes of a random subset: final if, and only if, they have strictly more than two thirds."""
    here = world(count)
    voters = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    block = header(data.draw(st.integers(0, 12)), data.draw(st.binary(min_size=32, max_size=32)))
    expected, found = here.verdicts(block, here.sign(block, tuple(sorted(voters)), round=data.draw(st.integers(0, 9))))
    assert found == expected


@settings(max_examples=120, deadline=None)
@given(SIZES, st.data())
def test_a_mutated_footer_gets_the_same_verdict(count: int, data: st.DataObject) -> None:
    here = world(count)
    block = header(data.draw(st.integers(1, 10)), bytes(32))
    raw = bytearray(here.sign(block))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["flip", "insert", "delete", "bitmap"])):
            case "flip":
                raw[at] ^= 1 << data.draw(st.integers(0, 7))
            case "insert":
                raw.insert(at, data.draw(st.integers(0, 255)))
            case "delete":
                del raw[at]
            case "bitmap":
                raw[-1] ^= 1 << data.draw(st.integers(0, 7))
    expected, found = here.verdicts(block, bytes(raw))
    assert found == expected


FIELD = st.one_of(
    st.binary(max_size=3), st.binary(min_size=31, max_size=33), st.binary(min_size=54, max_size=58), st.just(bytes(32))
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_list_of_fields_gets_the_same_verdict(data: st.DataObject) -> None:
    """Fields of any length in any number, some of them lists, all well signed where the Python client reads them."""
    here = world(4)
    fields: list[Any] = data.draw(st.lists(FIELD, min_size=13, max_size=34))
    for at in data.draw(st.sets(st.sampled_from([3, 5, 12]))):
        fields[at] = bytes(32)
    for at in (8, 11):
        length = data.draw(st.sampled_from([0, 1, 2, 7, 8, 9, 40]))
        fields[at] = data.draw(st.integers(0, min(256**length, 1 << 64) - 1)).to_bytes(length)
    if data.draw(st.booleans()):
        fields[8] = b"\x05"
    if data.draw(st.integers(0, 5)) == 0:
        fields[data.draw(st.integers(0, len(fields) - 1))] = [b"in a list"]
    expected, found = here.verdicts(*_signed_if_read(here, bytes(rlp.encode(fields))))
    assert found == expected


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_header_bytes_get_the_same_verdict(data: st.DataObject) -> None:
    """Bytes of a header changed, put in or cut out: what is no canonical RLP is no header for either."""
    here = world(4)
    raw = bytearray(header(5, bytes(32), fields=data.draw(st.integers(15, 24))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 5), st.integers(0, len(raw) - 1)))
        value = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0x81, 0xA0, 0xB7, 0xB8, 0xB9, 0xC0, 0xF7, 0xF8, 0xF9, 0xFF])
        )
        match data.draw(st.sampled_from(["put", "insert", "delete"])):
            case "put":
                raw[at] = value
            case "insert":
                raw.insert(at, value)
            case "delete":
                del raw[at]
    expected, found = here.verdicts(*_signed_if_read(here, bytes(raw)))
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=700), st.binary(max_size=300))
def test_strange_bytes_get_the_same_verdict(block: bytes, footer: bytes) -> None:
    expected, found = world(4).verdicts(block, footer)
    assert found == expected == "header"


@pytest.mark.parametrize("raw", NO_HEADERS)
def test_bytes_that_are_no_header_are_refused(raw: bytes) -> None:
    assert world(4).verdicts(raw, b"") == ("header", "header")


def _spliced(at: int, item: bytes, fields: int = 21) -> bytes:
    """A header of block 5 whose field `at` is these bytes, whatever they are."""
    values: list[bytes] = [bytes(32)] * fields
    values[8], values[11] = b"\x05", NOW.to_bytes(4)
    body = b"".join(item if index == at else bytes(rlp.encode(each)) for index, each in enumerate(values))
    return b"\xf9" + len(body).to_bytes(2) + body


@pytest.mark.parametrize(
    ("at", "item", "expected"),
    [
        (8, b"\x05", ""),
        (8, b"\x81\x05", "header"),  # a byte below 0x80 is its own encoding
        (8, b"\x81\x80", "epoch"),
        (8, b"\x82\x00\x05", ""),  # a leading zero, which only makes another hash
        (12, b"\xb8\x20" + bytes(32), "header"),  # the long form of a short length
        (12, b"\xb9\x00\x20" + bytes(32), "header"),
        (13, b"\xb7" + bytes(55), ""),
        (13, b"\xb8\x37" + bytes(55), "header"),
        (13, b"\xb8\x38" + bytes(56), ""),
        (13, b"\xb8\xff" + bytes(255), ""),
        (13, b"\xb9\x00\xff" + bytes(255), "header"),
        (13, b"\xb9\x01\x00" + bytes(256), ""),
        (13, b"\xba\x00\x01\x00" + bytes(256), "header"),
        (13, b"\xc1\x05", "header"),
        (3, b"\x9f" + bytes(31), "header"),
        (5, b"\x80", "header"),
    ],
)
def test_each_form_of_a_field_gets_the_same_verdict(at: int, item: bytes, expected: str) -> None:
    here = world(4)
    assert here.verdicts(*_signed_if_read(here, _spliced(at, item))) == (expected, expected)


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (2, 2, 2, 3), (1, 2, 3, 3), (10**24, 10**24, 10**24, 3 * 10**24)])
def test_two_thirds_exactly_are_not_enough(powers: tuple[int, ...]) -> None:
    """Every subset of four: its members must have strictly more than two thirds (IIP-51)."""
    here = World(KEYS[:4], powers)
    block = header(3, bytes(32))
    for bits in range(1, 16):
        voters = tuple(index for index in range(4) if bits >> index & 1)
        expected = "" if 3 * sum(powers[each] for each in voters) > 2 * sum(powers) else "power"
        assert here.verdicts(block, here.sign(block, voters)) == (expected, expected)


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_changed_footer_is_refused_alike(change: Any, reason: str) -> None:
    here = world(4)
    block = header(7, bytes(32))
    assert here.verdicts(block, change(here.sign(block, (0, 1, 2)))) == (reason, reason)


@pytest.mark.parametrize(
    "changes", [{"topic": Topic.LOCK}, {"topic": Topic.PROPOSAL}, {"height": 8}, {"block_hash": bytes(32)}]
)
def test_a_signature_on_something_else_is_refused_alike(changes: dict[str, Any]) -> None:
    here = world(4)
    block = header(7, bytes(32))
    assert here.verdicts(block, here.sign(block, **changes)) == ("signature", "signature")


def _signed_if_read(here: World, block: bytes) -> tuple[bytes, bytes]:
    try:
        return block, here.sign(block)
    except NotFinal:
        return block, bytes(101)


# --- signatures ---


def test_the_uncompressed_signature_must_be_the_footers(four: World) -> None:
    """Another point, the same x with the other y, the wrong length: refused though the footer is right."""
    block = header(7, bytes(32))
    footer = four.sign(block)
    point = point_of(footer)
    assert refused(four.contract, block, footer, point) == ""
    other = point_of(four.sign(header(8, bytes(32))))
    for wrong in (
        other,
        b"",
        point[:-1],
        point + b"\0",
        bytes(256),
        point[:64] + bytes(192),
        point[:128] + other[128:],
    ):
        assert refused(four.contract, block, footer, wrong) == "SignatureInvalid"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 255), st.integers(0, 7))
def test_no_bit_of_the_uncompressed_signature_may_change(at: int, bit: int) -> None:
    here = world(4)
    block = header(7, bytes(32))
    footer = here.sign(block)
    point = bytearray(point_of(footer))
    point[at] ^= 1 << bit
    assert refused(here.contract, block, footer, bytes(point)) == "SignatureInvalid"


def test_the_negative_signature_is_refused(four: World) -> None:
    """The other root of y, in both forms: a point of the subgroup, but not the signature."""
    block = header(7, bytes(32))
    footer = bytearray(four.sign(block))
    footer[4] ^= 0x20
    assert point_of(bytes(footer)) != bytes(256)
    assert four.verdicts(block, bytes(footer)) == ("signature", "signature")


def test_a_point_outside_the_subgroup_is_refused(four: World) -> None:
    """The curve has more points than the group; the pairing precompile refuses them."""
    from py_ecc.bls.point_compression import decompress_G2
    from py_ecc.bls.typing import G2Compressed
    from py_ecc.optimized_bls12_381.optimized_curve import curve_order, is_inf, multiply, normalize

    block = header(7, bytes(32))
    footer = four.sign(block)
    for x in range(1, 50):
        compressed = (1 << 383).to_bytes(48) + x.to_bytes(48)
        try:
            point = decompress_G2(G2Compressed((int.from_bytes(compressed[:48]), int.from_bytes(compressed[48:]))))
        except ValueError:
            continue
        if not is_inf(multiply(point, curve_order)):
            break
    else:
        raise AssertionError("no point outside the subgroup was found")
    coordinates = [int(each) for pair in normalize(point) for each in pair.coeffs]
    raw = b"".join(each.to_bytes(64) for each in coordinates)
    forged = footer[:4] + compressed + footer[100:]
    assert refused(four.contract, block, forged, raw) == "SignatureInvalid"
    assert four.verdicts(block, forged) == ("signature", "signature")


def test_infinity_is_no_signature(four: World) -> None:
    block = header(7, bytes(32))
    footer = four.sign(block)
    for flags in (0x80, 0xA0, 0xC0):
        forged = footer[:4] + bytes([flags]) + bytes(95) + footer[100:]
        assert refused(four.contract, block, forged, bytes(256)) == "SignatureInvalid"
