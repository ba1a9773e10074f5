"""Commitments and signals: trees against a plain recomputation, paths that verify for one place only, signals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.commitment import (
    SCHEMES,
    device_leaf,
    device_path,
    device_paths,
    device_set_root,
    order_readings,
    reading_leaf,
    reading_path,
    readings_root,
    scheme,
    verify_path,
)
from verifier.completeness import Completeness
from verifier.errors import InvalidInput, Refused
from verifier.field import R, to_bytes
from verifier.poseidon import poseidon
from verifier.reading import Device, DeviceKey, KeyType, Reading
from verifier.signals import output_signals, public_signals
from verifier.statement import Opening

KEYS = [DeviceKey.from_private(KeyType(i % 3 + 1), (i + 1).to_bytes(32, "big")) for i in range(7)]
DEVICES = [key.registration() for key in KEYS]


def plain_root(leaves: list[int], depth: int) -> bytes:
    row = leaves + [0] * ((1 << depth) - len(leaves))
    while len(row) > 1:
        row = [poseidon(row[i : i + 2]) for i in range(0, len(row), 2)]
    return to_bytes(row[0])


def readings(count: int) -> list[Reading]:
    return [KEYS[i % 7].sign(7, i, i, bytes(4)) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_the_device_tree_is_the_plain_tree(count: int) -> None:
    devices = DEVICES[:count]
    leaves = [int.from_bytes(device_leaf(device), "big") for device in devices]
    assert device_set_root(devices, 4) == plain_root(leaves, 4)
    for index, device in enumerate(devices):
        path = device_path(devices, index)
        assert path == device_paths(devices, [index])[0]
        assert len(path) == 10
        assert verify_path(device_set_root(devices), device_leaf(device), index, path)


def test_the_default_depth_is_ten() -> None:
    leaves = [int.from_bytes(device_leaf(device), "big") for device in DEVICES]
    assert device_set_root(DEVICES) == plain_root(leaves, 10)


def test_device_leaves() -> None:
    circuit_key = DEVICES[2]
    assert circuit_key.key_type is KeyType.BABYJUBJUB
    x, y = (int.from_bytes(part, "big") for part in (circuit_key.public_key[:32], circuit_key.public_key[32:]))
    assert device_leaf(circuit_key) == to_bytes(poseidon((int.from_bytes(circuit_key.device, "big"), x, y)))
    other = DEVICES[0]
    digest = int.from_bytes(keccak(b"\x01" + other.public_key)[:31], "big")
    assert device_leaf(other) == to_bytes(poseidon((int.from_bytes(other.device, "big"), digest, 1)))


@pytest.mark.parametrize("capacity", [1, 2, 8, 16])
def test_the_readings_tree_is_the_plain_tree(capacity: int) -> None:
    for count in {1, capacity // 2 or 1, capacity}:
        window = readings(count)
        depth = capacity.bit_length() - 1
        root = readings_root(window, capacity)
        assert root == plain_root([reading.message() for reading in window], depth)
        for index, reading in enumerate(window):
            path = reading_path(window, capacity, index)
            assert verify_path(root, reading_leaf(reading), index, path)


def test_a_changed_leaf_place_path_or_root_does_not_verify() -> None:
    window = readings(5)
    root, leaf, path = readings_root(window, 8), reading_leaf(window[3]), reading_path(window, 8, 3)
    assert verify_path(root, leaf, 3, path)
    assert not verify_path(root, reading_leaf(window[2]), 3, path)
    for index in (2, 4, 11, -1):
        assert not verify_path(root, leaf, index, path)
    assert not verify_path(root, leaf, 3, path[:-1])
    assert not verify_path(root, leaf, 3, (*path, bytes(32)))
    assert not verify_path(root, leaf, 3, (path[1], path[0], path[2]))
    assert not verify_path(root, leaf, 3, (R.to_bytes(32, "big"), *path[1:]))
    assert not verify_path(root, b"\xff" * 32, 3, path)
    assert not verify_path(bytes(32), leaf, 3, path)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_order_is_by_device_and_sequence(permutation: list[int]) -> None:
    window = readings(12)
    ordered = order_readings([window[i] for i in permutation], DEVICES)
    places = [(DEVICES.index(next(d for d in DEVICES if d.device == r.device)), r.sequence) for r in ordered]
    assert places == sorted(places)
    assert set(ordered) == set(window)


def test_repeats_and_strangers_are_refused() -> None:
    window = readings(3)
    with pytest.raises(Refused, match="W3B-1005"):
        order_readings([*window, KEYS[0].sign(7, 0, 99, b"another payload")], DEVICES)
    with pytest.raises(Refused, match="W3B-1004"):
        order_readings(window, DEVICES[1:])


def test_sets_and_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="W3B-1010"):
        device_set_root(DEVICES, 2)
    with pytest.raises(InvalidInput, match="W3B-1010"):
        device_set_root([DEVICES[0], replace(DEVICES[1], device=DEVICES[0].device)])
    with pytest.raises(InvalidInput, match="W3B-1010"):
        device_set_root([Device(bytes(20), KeyType.BABYJUBJUB, bytes(63) + b"\x01")])
    for index in (-1, 7):
        with pytest.raises(InvalidInput, match="W3B-1010"):
            device_path(DEVICES, index)
        with pytest.raises(InvalidInput, match="W3B-1010"):
            device_paths(DEVICES, [index])
    with pytest.raises(InvalidInput, match="W3B-1001"):
        readings_root(readings(3), 2)
    for capacity in (0, 3, -2):
        with pytest.raises(InvalidInput, match="W3B-1001"):
            readings_root(readings(1), capacity)
    with pytest.raises(InvalidInput, match="W3B-1001"):
        reading_path(readings(3), 4, 3)


def test_schemes_by_name() -> None:
    chosen = scheme("poseidon-bn254-v1")
    assert {"poseidon-bn254-v1": chosen} == SCHEMES
    window = readings(2)
    assert chosen.name == "poseidon-bn254-v1"
    assert chosen.readings_root(window, 16) == readings_root(window, 16)
    assert chosen.device_set_root(DEVICES) == device_set_root(DEVICES)
    assert chosen.verify_path(
        chosen.readings_root(window, 16), chosen.reading_leaf(window[1]), 1, chosen.reading_path(window, 16, 1)
    )
    with pytest.raises(InvalidInput, match="W3B-2001"):
        scheme("keccak-v0")


OPENING = Opening(to_bytes(11), to_bytes(12), 100, 140, 5, Completeness(6, 4, 1, 2))
OUTPUT = encode(["uint32", "int64", "int32", "int32"], [5, -7, -(1 << 31), 3]) + OPENING.completeness.encode()


def test_public_signals_are_in_the_binding_order() -> None:
    digest = bytes(range(32))
    signals = public_signals(digest, OPENING, 9, OUTPUT)
    high, low = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")
    assert signals == [11, 5, R - 7, R - (1 << 31), 3, 6, 4, 1, 2, high, low, 9, 12, 100, 140, 5]


def test_output_words_map_one_to_one() -> None:
    edge = (1 << 252) - 1
    assert output_signals(encode(["int256", "int256"], [edge, -edge])) == [edge, R - edge]
    for word in (1 << 252, -(1 << 252), (1 << 255) - 1, -(1 << 255), R):
        with pytest.raises(Refused, match="W3B-4020"):
            output_signals(encode(["int256"], [word]))
    for data in (b"", bytes(31), bytes(33), bytes(17 * 32)):
        with pytest.raises(Refused, match="W3B-4020"):
            output_signals(data)


@pytest.mark.parametrize(
    "change",
    [
        {"readings_root": R.to_bytes(32, "big")},
        {"device_set_root": b"\xff" * 32},
        {"window_start": 1 << 64},
        {"window_end": -1},
        {"count": 1 << 32},
    ],
    ids=str,
)
def test_openings_out_of_range_have_no_signals(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="W3B-4020"):
        public_signals(bytes(32), replace(OPENING, **change), 9, OUTPUT)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["missing", "duplicates", "late", "reordered"])
def test_an_output_that_ends_with_other_completeness_has_no_signals(field: str) -> None:
    other = replace(OPENING.completeness, **{field: getattr(OPENING.completeness, field) + 1})
    for opening, output in ((replace(OPENING, completeness=other), OUTPUT), (OPENING, OUTPUT[:-128] + other.encode())):
        with pytest.raises(Refused, match="W3B-4013"):
            public_signals(bytes(32), opening, 9, output)
    with pytest.raises(Refused, match="W3B-4013"):
        public_signals(bytes(32), OPENING, 9, OUTPUT[:-128])


def test_other_digests_and_projects_are_refused() -> None:
    for digest, project in ((bytes(31), 9), (bytes(32), 1 << 64), (bytes(32), -1)):
        with pytest.raises(InvalidInput, match="W3B-4020"):
            public_signals(digest, OPENING, project, OUTPUT)
