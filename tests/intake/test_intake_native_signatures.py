"""Rust and Python say the same of every signature, reading and root: the one is the other's definition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native import _native
from verifier import babyjubjub
from verifier.commitment import readings_root
from verifier.field import R
from verifier.reading import DeviceKey, KeyType, Reading

KEY = DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([7] * 32))
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "circomlibjs.json").read_text("utf-8"))
MESSAGE = 123456789
GOOD = babyjubjub.sign(KEY.private_key, MESSAGE)
GENERATOR = (
    995203441582195749578291179787384436505546430278305826713579947235728471134,
    5472060717959818805561601436314318772137091100104008585924551046643952123905,
)
"""EIP-2494's generator: of order 8 * l, on the curve and outside the subgroup."""
SMALL = babyjubjub.multiply(GENERATOR, babyjubjub.L)
"""A point of order 8."""


def both(public_key: bytes, message: int, signature: bytes) -> bool:
    """Rust's verdict, required to be Python's."""
    found = _native.babyjubjub_verify(public_key, message.to_bytes(32, "big"), signature)
    assert found == babyjubjub.verify(public_key, message, signature)
    return found


def xy(point: tuple[int, int]) -> bytes:
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


@pytest.mark.parametrize("row", VECTORS["signatures"][:4], ids=range(4))
def test_signatures_of_circomlibjs(row: dict[str, str]) -> None:
    key, m = xy((int(row["x"]), int(row["y"]))), int(row["m"])
    signature = bytes.fromhex(row["signature"])
    assert both(key, m, signature)
    assert not both(key, (m + 1) % R, signature)


@settings(max_examples=40)
@given(st.integers(0, 511))
def test_a_flipped_bit_never_passes(bit: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not both(KEY.public_key, MESSAGE, bytes(flipped))


@settings(max_examples=40)
@given(st.binary(min_size=60, max_size=68), st.integers(0, (1 << 256) - 1))
def test_noise_never_passes(signature: bytes, message: int) -> None:
    assert not both(KEY.public_key, message, signature)


@settings(max_examples=20)
@given(st.integers(0, R - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_passes(message: int, secret: bytes) -> None:
    key = DeviceKey.from_private(KeyType.BABYJUBJUB, secret)
    assert both(key.public_key, message, babyjubjub.sign(secret, message))
    assert not both(KEY.public_key, message, babyjubjub.sign(secret, message))


def test_what_is_not_canonical_is_refused() -> None:
    r8, s = GOOD[:32], int.from_bytes(GOOD[32:], "little")
    assert both(KEY.public_key, MESSAGE, GOOD)
    assert not both(KEY.public_key, MESSAGE, r8 + (s + babyjubjub.L).to_bytes(32, "little"))
    assert not both(KEY.public_key, MESSAGE, R.to_bytes(32, "little") + GOOD[32:])
    assert not both(KEY.public_key, MESSAGE, bytes([1]) + bytes(30) + bytes([0x80]) + GOOD[32:]), "x = 0, sign bit set"
    assert not both(KEY.public_key, R + MESSAGE, GOOD)
    x, y = int.from_bytes(KEY.public_key[:32], "big"), int.from_bytes(KEY.public_key[32:], "big")
    assert not both((x + R).to_bytes(32, "big") + y.to_bytes(32, "big"), MESSAGE, GOOD)


def test_keys_of_another_order_are_refused() -> None:
    x, y = int.from_bytes(KEY.public_key[:32], "big"), int.from_bytes(KEY.public_key[32:], "big")
    beside = babyjubjub.add((x, y), SMALL)
    for point in ((0, 1), (0, R - 1), SMALL, babyjubjub.double(SMALL), GENERATOR, beside, (1, 1), (0, 0)):
        assert not both(xy(point), MESSAGE, GOOD)
        # S = 0 and R8 = O hold for a key of small order, unless the order is looked at.
        assert not both(xy(point), MESSAGE, babyjubjub.compress((0, 1)) + bytes(32))
    assert not both(KEY.public_key[:63], MESSAGE, GOOD)


@settings(max_examples=25)
@given(
    st.integers(0, (1 << 64) - 1),
    st.binary(min_size=20, max_size=20),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.binary(max_size=100),
)
def test_readings_are_the_same_field_elements(
    project: int, device: bytes, sequence: int, timestamp: int, payload: bytes
) -> None:
    reading = Reading(project, device, sequence, timestamp, payload, KeyType.BABYJUBJUB, bytes(64))
    wire = reading.to_wire()
    assert int.from_bytes(_native.reading_message(wire), "big") == reading.message()
    for wrong in (wire[:-1], wire + b"\0", b"\x02" + wire[1:], b""):
        with pytest.raises(ValueError, match="not exactly one reading"):
            _native.reading_message(wrong)


def test_a_batch_keeps_its_order_and_names_what_does_not_hold() -> None:
    good = [KEY.sign(1, sequence, sequence, bytes(4)) for sequence in range(1, 6)]
    bad = Reading(1, KEY.device, 9, 9, bytes(4), KeyType.BABYJUBJUB, good[0].signature)
    as_other_type = Reading(1, KEY.device, 1, 1, bytes(4), KeyType.P256, good[0].signature)
    given = [(KEY.public_key, each.to_wire()) for each in (*good, bad, as_other_type)]
    found = _native.babyjubjub_signed_messages([*given, (bytes(64), good[0].to_wire()), (KEY.public_key, b"")])
    assert found == [*(each.message().to_bytes(32, "big") for each in good), None, None, None, None]
    assert _native.babyjubjub_signed_messages([]) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8])
def test_roots_are_the_same(count: int) -> None:
    readings = [Reading(1, KEY.device, at, at, bytes(4), KeyType.BABYJUBJUB, bytes(64)) for at in range(count)]
    leaves = [each.message().to_bytes(32, "big") for each in readings]
    assert _native.poseidon_roots([leaves, leaves[:1]], 8) == [
        readings_root(readings, 8),
        readings_root(readings[:1], 8),
    ]


def test_roots_of_what_is_no_tree_are_refused() -> None:
    one = bytes(31) + b"\x01"
    for leaves, capacity in (([one] * 3, 2), ([one], 3), ([R.to_bytes(32, "big")], 2), ([one[1:]], 2)):
        with pytest.raises(ValueError, match="leaf is no field element"):
            _native.poseidon_roots([leaves], capacity)
