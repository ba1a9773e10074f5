"""Baby Jubjub: EIP-2494's numbers, circomlibjs's points and signatures, group laws, and spoiled signatures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier import babyjubjub as curve
from verifier.field import R

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "circomlibjs.json").read_text("utf-8"))
SCALARS = st.integers(0, curve.L - 1)
KEY = bytes(range(32))


def test_the_base_point_and_the_orders_are_eip_2494s() -> None:
    generator = (
        995203441582195749578291179787384436505546430278305826713579947235728471134,
        5472060717959818805561601436314318772137091100104008585924551046643952123905,
    )
    assert curve.multiply(generator, 8) == curve.B8
    assert curve.multiply(generator, 8 * curve.L) == curve.IDENTITY
    assert curve.multiply(curve.B8, curve.L) == curve.IDENTITY
    assert not curve.in_subgroup(generator)
    assert curve.in_subgroup(curve.B8)


def test_points_are_circomlibjs() -> None:
    for row in VECTORS["points"]:
        point = (int(row["point"][0]), int(row["point"][1]))
        assert curve.multiply_base(int(row["scalar"])) == point
        assert curve.multiply(curve.B8, int(row["scalar"])) == point
        assert curve.add(point, curve.B8) == tuple(int(v) for v in row["plusBase"])
        assert curve.compress(point).hex() == row["packed"]
        assert curve.decompress(bytes.fromhex(row["packed"])) == point


@pytest.mark.parametrize("row", VECTORS["signatures"], ids=range(len(VECTORS["signatures"])))
def test_signatures_of_circomlibjs_verify(row: dict[str, str]) -> None:
    key = int(row["x"]).to_bytes(32, "big") + int(row["y"]).to_bytes(32, "big")
    signature, m = bytes.fromhex(row["signature"]), int(row["m"])
    assert curve.decode_signature(signature) == ((int(row["r8"][0]), int(row["r8"][1])), int(row["s"]))
    assert curve.verify(key, m, signature)
    assert not curve.verify(key, (m + 1) % R, signature)


@settings(max_examples=20, deadline=None)
@given(SCALARS, SCALARS)
def test_group_laws(a: int, b: int) -> None:
    p, q = curve.multiply_base(a), curve.multiply_base(b)
    assert curve.on_curve(p)
    assert curve.add(p, q) == curve.add(q, p) == curve.multiply_base(a + b)
    assert curve.add(p, p) == curve.double(p)
    assert curve.add(p, curve.negate(p)) == curve.IDENTITY
    assert curve.decompress(curve.compress(p)) == p


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(0, R - 1))
def test_a_signature_verifies_for_its_message_and_key_only(secret: bytes, m: int) -> None:
    key, signature = curve.public_key(secret), curve.sign(secret, m)
    assert curve.verify(key, m, signature)
    assert curve.sign(secret, m) == signature
    assert not curve.verify(key, (m + 1) % R, signature)
    assert not curve.verify(curve.public_key(KEY[::-1]), m, signature)


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    key, signature = curve.public_key(KEY), bytearray(curve.sign(KEY, 5))
    signature[bit // 8] ^= 1 << bit % 8
    assert not curve.verify(key, 5, bytes(signature))


def test_signatures_that_are_not_canonical_are_refused() -> None:
    key, signature = curve.public_key(KEY), curve.sign(KEY, 5)
    s = int.from_bytes(signature[32:], "little")
    y = int.from_bytes(signature[:32], "little") & ((1 << 255) - 1)
    for other in (s + curve.L, s + 2 * curve.L):
        assert not curve.verify(key, 5, signature[:32] + other.to_bytes(32, "little"))
    assert not curve.verify(key, 5, (y + R).to_bytes(32, "little") + signature[32:])
    for other_length in (signature[:-1], signature + b"\0", b""):
        assert not curve.verify(key, 5, other_length)
    assert curve.verify(key, 5, signature)
    assert not curve.verify(key, 5 + R, signature)


def test_keys_outside_the_prime_order_group_are_refused() -> None:
    """A key of small order would accept any message; a key with a small part has a second key for its signatures."""
    s = 12345
    forged = curve.compress(curve.multiply_base(s)) + s.to_bytes(32, "little")
    two = (0, R - 1)
    mixed = curve.add(curve.multiply_base(99), two)
    for point in (curve.IDENTITY, two, mixed, (1, 1), (R, 1)):
        data = (point[0] % (1 << 256)).to_bytes(32, "big") + point[1].to_bytes(32, "big")
        assert curve.decode_public_key(data) is None
        assert not curve.verify(data, 5, forged)
    assert curve.decode_public_key(curve.public_key(KEY)[:-1]) is None


def test_compression_is_one_to_one() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        curve.decompress(bytes(31))
    with pytest.raises(ValueError, match="order"):
        curve.decompress(R.to_bytes(32, "little"))
    with pytest.raises(ValueError, match="sign bit"):
        curve.decompress((1 | 1 << 255).to_bytes(32, "little"))
    refused = 0
    for y in range(2, 40):
        try:
            curve.decompress(y.to_bytes(32, "little"))
        except ValueError:
            refused += 1
    assert 0 < refused < 38


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_private_keys_have_32_bytes(secret: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        curve.public_key(secret)


def test_a_message_outside_the_field_is_not_signed() -> None:
    with pytest.raises(ValueError, match="field element"):
        curve.sign(KEY, R)
