"""Readings: the wire format to the byte, the three signatures, and every way to spoil them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from eth_keys.datatypes import PublicKey, Signature
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.errors import InvalidInput, Refused
from verifier.poseidon import poseidon
from verifier.reading import (
    P256_ORDER,
    SECP256K1_ORDER,
    Device,
    DeviceKey,
    KeyType,
    Reading,
    device_id,
    p256_digest,
    payload_fold,
    verify_signature,
)

KEYS = {key_type: DeviceKey.from_private(key_type, bytes(range(1, 33))) for key_type in KeyType}
UINT64 = st.integers(0, 2**64 - 1)
READINGS = st.builds(
    Reading,
    project=UINT64,
    device=st.binary(min_size=20, max_size=20),
    sequence=UINT64,
    timestamp=UINT64,
    payload=st.binary(max_size=100),
    key_type=st.sampled_from(KeyType),
    signature=st.binary(min_size=64, max_size=64),
)


@pytest.fixture(params=list(KeyType), ids=lambda key_type: key_type.label)
def key(request: pytest.FixtureRequest) -> DeviceKey:
    return KEYS[request.param]


def test_bytes_are_those_of_the_reference() -> None:
    device, signature = bytes(range(20)), bytes(range(64))
    reading = Reading(258, device, 3, 1_700_000_000_000, b"\x00\x00\x01\x02", KeyType.P256, signature)
    tail = bytes.fromhex(
        "0000000000000102" + device.hex() + "0000000000000003" + "0000018bcfe56800" + "00000004" + "00000102"
    )
    assert reading.canonical() == b"W3bstream reading v1" + tail
    assert reading.to_wire() == b"\x01\x02" + signature + tail
    assert reading.subject() == f"da.258.{device.hex()}"
    assert reading.message_id() == f"258-{device.hex()}-3-{keccak(reading.to_wire()).hex()[:16]}"
    fold = poseidon((4, 0x102))
    assert reading.message() == poseidon((258, int.from_bytes(device, "big"), 3, 1_700_000_000_000, fold))


def test_payload_fold() -> None:
    assert payload_fold(b"") == 0
    assert payload_fold(b"\xff" * 4) == poseidon((4, 0xFFFFFFFF))
    assert payload_fold(bytes(31)) == poseidon((31, 0))
    data = bytes(range(32, 65))
    first = poseidon((33, int.from_bytes(data[:31], "big")))
    assert payload_fold(data) == poseidon((first, int.from_bytes(data[31:], "big")))
    assert len({payload_fold(bytes(n)) for n in range(70)}) == 70


@settings(max_examples=100, deadline=None)
@given(READINGS)
def test_wire_round_trip(reading: Reading) -> None:
    assert Reading.from_wire(reading.to_wire()) == reading


@settings(max_examples=60, deadline=None)
@given(READINGS, st.data())
def test_truncated_or_extended_bytes_are_refused(reading: Reading, data: st.DataObject) -> None:
    wire = reading.to_wire()
    cut = data.draw(st.integers(0, len(wire) - 1))
    for bad in (wire[:cut], wire + b"\0"):
        with pytest.raises(InvalidInput, match="W3B-1001"):
            Reading.from_wire(bad)


def test_other_versions_key_types_and_sizes_are_refused() -> None:
    wire = KEYS[KeyType.P256].sign(1, 2, 3, bytes(4096)).to_wire()
    assert len(Reading.from_wire(wire).payload) == 4096
    for at, value in ((0, 0), (0, 2), (1, 0), (1, 4)):
        with pytest.raises(InvalidInput, match="W3B-1001"):
            Reading.from_wire(wire[:at] + bytes((value,)) + wire[at + 1 :])
    large = wire[: -4096 - 4] + (4097).to_bytes(4, "big") + bytes(4097)
    with pytest.raises(InvalidInput, match="W3B-1002"):
        Reading.from_wire(large)
    with pytest.raises(InvalidInput, match="W3B-1002"):
        Reading.from_wire(wire[: -4096 - 4] + b"\xff" * 4 + bytes(10))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("project", 2**64, "W3B-1001"),
        ("project", -1, "W3B-1001"),
        ("sequence", 2**64, "W3B-1001"),
        ("timestamp", -1, "W3B-1001"),
        ("device", bytes(19), "W3B-1001"),
        ("signature", bytes(65), "W3B-1001"),
        ("payload", bytes(4097), "W3B-1002"),
    ],
)
def test_construction_checks_ranges(field: str, value: object, code: str) -> None:
    reading = KEYS[KeyType.P256].sign(1, 2, 3, b"")
    with pytest.raises(InvalidInput, match=code) as caught:
        replace(reading, **{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_signature_covers_every_field(key: DeviceKey) -> None:
    device = key.registration("sensor")
    reading = key.sign(7, 1, 2, b"\x00\x00\x00\x05")
    verify_signature(reading, device)
    assert key.sign(7, 1, 2, b"\x00\x00\x00\x05") == reading
    changes: list[dict[str, object]] = [
        {"project": 8},
        {"sequence": 2},
        {"timestamp": 3},
        {"payload": b"\x00\x00\x00\x06"},
        {"payload": b"\x00\x00\x05"},
        {"signature": bytes(64)},
        {"signature": b"\xff" * 64},
    ]
    for change in changes:
        with pytest.raises(Refused, match="W3B-1003"):
            verify_signature(replace(reading, **change), device)  # type: ignore[arg-type]


@pytest.mark.parametrize("bit", range(0, 512, 13))
def test_a_flipped_bit_is_refused(key: DeviceKey, bit: int) -> None:
    reading = key.sign(7, 1, 2, b"\x01\x02\x03\x04")
    signature = bytearray(reading.signature)
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused, match="W3B-1003"):
        verify_signature(replace(reading, signature=bytes(signature)), key.registration())


def test_another_device_key_or_key_type_is_refused(key: DeviceKey) -> None:
    reading, device = key.sign(7, 1, 2, bytes(4)), key.registration()
    other = DeviceKey.generate(key.key_type)
    assert other.public_key != key.public_key
    for wrong in (
        other.registration(),
        replace(device, public_key=other.public_key),
        replace(device, device=bytes(20)),
        replace(device, key_type=KeyType(key.key_type % 3 + 1)),
        replace(device, public_key=bytes(64)),
        replace(device, public_key=b"\xff" * 64),
    ):
        with pytest.raises(Refused, match="W3B-1003"):
            verify_signature(reading, wrong)


def test_high_s_is_refused() -> None:
    for key_type, order in ((KeyType.SECP256K1, SECP256K1_ORDER), (KeyType.P256, P256_ORDER)):
        reading = KEYS[key_type].sign(7, 1, 2, bytes(4))
        s = int.from_bytes(reading.signature[32:], "big")
        assert s <= order // 2
        high = replace(reading, signature=reading.signature[:32] + (order - s).to_bytes(32, "big"))
        with pytest.raises(Refused, match="W3B-1003"):
            verify_signature(high, KEYS[key_type].registration())


def test_secp256k1_agrees_with_eth_keys() -> None:
    key = KEYS[KeyType.SECP256K1]
    reading = key.sign(7, 1, 2, b"payload")
    r, s = int.from_bytes(reading.signature[:32], "big"), int.from_bytes(reading.signature[32:], "big")
    digest = keccak(reading.canonical())
    recovered = [Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest) for v in (0, 1)]
    assert PublicKey(key.public_key) in recovered
    assert key.device == PublicKey(key.public_key).to_canonical_address() == device_id(key.public_key)


def test_p256_digest_is_sha256_of_the_canonical_bytes() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    key = KEYS[KeyType.P256]
    reading = key.sign(7, 1, 2, b"payload")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key.public_key)
    r, s = int.from_bytes(reading.signature[:32], "big"), int.from_bytes(reading.signature[32:], "big")
    point.verify(utils.encode_dss_signature(r, s), p256_digest(reading), ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def test_key_files(key: DeviceKey) -> None:
    assert DeviceKey.from_json(key.to_json()) == key
    assert key.private_key.hex() not in repr(key)
    row = json.loads(key.to_json())
    assert row == {"key_type": key.key_type.label, "private_key": key.private_key.hex()}
    for bad in ("", "[]", "{}", '{"key_type": "rsa", "private_key": "00"}', json.dumps({**row, "private_key": "zz"})):
        with pytest.raises(InvalidInput, match="W3B-1010"):
            DeviceKey.from_json(bad)
    with pytest.raises(InvalidInput, match="W3B-1010"):
        DeviceKey.from_json(json.dumps({**row, "private_key": row["private_key"][2:]}))


def test_private_scalars_out_of_range_are_refused() -> None:
    for key_type, order in ((KeyType.SECP256K1, SECP256K1_ORDER), (KeyType.P256, P256_ORDER)):
        for scalar in (0, order, order + 1):
            with pytest.raises(InvalidInput, match="W3B-1010"):
                DeviceKey.from_private(key_type, scalar.to_bytes(32, "big"))


def test_a_device_with_an_id_of_its_own_signs_under_it(key: DeviceKey) -> None:
    name = b"\x11" * 20
    reading = key.sign(7, 1, 2, bytes(4), device=name)
    assert reading.device == name
    verify_signature(reading, Device(name, key.key_type, key.public_key))
    with pytest.raises(Refused, match="W3B-1003"):
        verify_signature(reading, key.registration())


def test_registered_keys_are_checked(key: DeviceKey) -> None:
    key.registration().check_key()
    for public_key in (
        bytes(64),
        b"\xff" * 64,
        bytes(63) + b"\x01",
        key.public_key[:-1] + bytes((key.public_key[-1] ^ 1,)),
    ):
        with pytest.raises(InvalidInput, match="W3B-1010"):
            Device(key.device, key.key_type, public_key).check_key()
    for device, public_key in ((bytes(19), key.public_key), (key.device, key.public_key[:-1])):
        with pytest.raises(InvalidInput, match="W3B-1010"):
            Device(device, key.key_type, public_key)
