"""Commitment schemes: how a project version commits to its readings and devices (docs/reference/encodings.md §2).

`SCHEMES` holds them by name; a project version names one, and every kind of proof of its tasks uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Protocol

from eth_hash.auto import keccak

from verifier.errors import InvalidInput, Refused
from verifier.field import from_bytes, to_bytes
from verifier.poseidon import poseidon
from verifier.reading import Device, KeyType, Reading

DEVICE_DEPTH = 10
"""Levels of the device tree: 1,024 devices."""


@cache
def _empty(level: int) -> int:
    """Root of a subtree of 2^level unused leaves."""
    return 0 if level == 0 else poseidon((_empty(level - 1), _empty(level - 1)))


def _levels(leaves: Sequence[int], depth: int) -> list[list[int]]:
    """The used part of every level, leaves first; what is missing on the right is `_empty(level)`."""
    levels = [list(leaves)]
    for level in range(depth):
        row = levels[-1] + [_empty(level)] * (len(levels[-1]) % 2)
        levels.append([poseidon((row[i], row[i + 1])) for i in range(0, len(row), 2)])
    if not leaves:
        levels[-1] = [_empty(depth)]
    return levels


def _path(leaves: Sequence[int], depth: int, index: int) -> tuple[bytes, ...]:
    siblings = []
    for level, row in enumerate(_levels(leaves, depth)[:-1]):
        sibling = (index >> level) ^ 1
        siblings.append(to_bytes(row[sibling] if sibling < len(row) else _empty(level)))
    return tuple(siblings)


def verify_path(root: bytes, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
    """Whether `leaf` (32 bytes) is at `index` of the tree with `root`; `path` holds the siblings from the leaf up."""
    if not 0 <= index < 1 << len(path):
        return False
    try:
        node, siblings = from_bytes(leaf), [from_bytes(sibling) for sibling in path]
    except ValueError:
        return False
    for level, sibling in enumerate(siblings):
        node = poseidon((sibling, node) if index >> level & 1 else (node, sibling))
    return to_bytes(node) == root


def device_leaf(device: Device) -> bytes:
    """The device's leaf, 32 bytes. Raises InvalidInput W3B-1010 for a key that is not valid.

    A circuit relies on this check: it proves that a key is in the set, and the set holds only keys of prime order.
    """
    device.check_key()
    name = int.from_bytes(device.device, "big")
    if device.key_type is KeyType.BABYJUBJUB:
        x, y = (int.from_bytes(part, "big") for part in (device.public_key[:32], device.public_key[32:]))
        return to_bytes(poseidon((name, x, y)))
    digest = keccak(bytes((device.key_type,)) + device.public_key)
    return to_bytes(poseidon((name, int.from_bytes(digest, "big") >> 8, int(device.key_type))))


def _device_leaves(devices: Sequence[Device], depth: int) -> list[int]:
    if len(devices) > 1 << depth:
        raise InvalidInput("W3B-1010", f"{len(devices)} devices do not fit a tree of {1 << depth}", field="devices")
    if len({device.device for device in devices}) != len(devices):
        raise InvalidInput("W3B-1010", "a device id is in the set twice", field="devices")
    return [from_bytes(device_leaf(device)) for device in devices]


def device_set_root(devices: Sequence[Device], depth: int = DEVICE_DEPTH) -> bytes:
    """Root of the device set in the project file's order, 32 bytes. Raises InvalidInput W3B-1010."""
    return to_bytes(_levels(_device_leaves(devices, depth), depth)[-1][0])


def device_path(devices: Sequence[Device], index: int, depth: int = DEVICE_DEPTH) -> tuple[bytes, ...]:
    """Siblings of device `index` from the leaf up, `depth` x 32 bytes. Raises InvalidInput W3B-1010."""
    if not 0 <= index < len(devices):
        raise InvalidInput("W3B-1010", f"there is no device {index} among {len(devices)}", field="index")
    return _path(_device_leaves(devices, depth), depth, index)


def device_paths(
    devices: Sequence[Device], indices: Sequence[int], depth: int = DEVICE_DEPTH
) -> list[tuple[bytes, ...]]:
    """`device_path` for many devices, hashing the set once. Raises InvalidInput W3B-1010."""
    levels = _levels(_device_leaves(devices, depth), depth)
    paths = []
    for index in indices:
        if not 0 <= index < len(devices):
            raise InvalidInput("W3B-1010", f"there is no device {index} among {len(devices)}", field="index")
        at = [((index >> level) ^ 1, levels[level], level) for level in range(depth)]
        paths.append(tuple(to_bytes(row[s] if s < len(row) else _empty(level)) for s, row, level in at))
    return paths


def device_indices(devices: Sequence[Device]) -> dict[bytes, int]:
    """Device id to leaf position."""
    return {device.device: index for index, device in enumerate(devices)}


def order_readings(readings: Sequence[Reading], devices: Sequence[Device]) -> tuple[Reading, ...]:
    """Readings by (device index, sequence). Raises Refused W3B-1004 (unknown device) or W3B-1005 (repeat)."""
    indices = device_indices(devices)
    for reading in readings:
        if reading.device not in indices:
            raise Refused("W3B-1004", f"device {reading.device.hex()} is not in the device set", field="device")
    ordered = sorted(readings, key=lambda reading: (indices[reading.device], reading.sequence))
    for before, after in pairwise(ordered):
        if (before.device, before.sequence) == (after.device, after.sequence):
            raise Refused(
                "W3B-1005", f"device {after.device.hex()} has two readings {after.sequence}", field="sequence"
            )
    return tuple(ordered)


def reading_leaf(reading: Reading) -> bytes:
    """The reading's leaf, 32 bytes: `m` of §1.3."""
    return to_bytes(reading.message())


def _reading_leaves(readings: Sequence[Reading], capacity: int) -> tuple[list[int], int]:
    if capacity < 1 or capacity & (capacity - 1):
        raise InvalidInput("W3B-1001", f"window capacity {capacity} is not a power of two", field="capacity")
    if len(readings) > capacity:
        raise InvalidInput("W3B-1001", f"{len(readings)} readings do not fit a window of {capacity}", field="readings")
    return [reading.message() for reading in readings], capacity.bit_length() - 1


def readings_root(readings: Sequence[Reading], capacity: int) -> bytes:
    """Root of the window's readings, 32 bytes; `readings` in `order_readings`' order. Raises InvalidInput W3B-1001."""
    leaves, depth = _reading_leaves(readings, capacity)
    return to_bytes(_levels(leaves, depth)[-1][0])


def reading_path(readings: Sequence[Reading], capacity: int, index: int) -> tuple[bytes, ...]:
    """Siblings of reading `index` from the leaf up, log2(capacity) x 32 bytes. Raises InvalidInput W3B-1001."""
    leaves, depth = _reading_leaves(readings, capacity)
    if not 0 <= index < len(leaves):
        raise InvalidInput("W3B-1001", f"there is no reading {index} among {len(leaves)}", field="index")
    return _path(leaves, depth, index)


class CommitmentScheme(Protocol):
    """What a project version names in `commitment`."""

    @property
    def name(self) -> str:
        """Name with version, such as `poseidon-bn254-v1`."""

    def device_set_root(self, devices: Sequence[Device]) -> bytes:
        """32 bytes. Raises InvalidInput W3B-1010."""

    def order_readings(self, readings: Sequence[Reading], devices: Sequence[Device]) -> tuple[Reading, ...]:
        """The order that `readings_root` takes. Raises Refused W3B-1004 or W3B-1005."""

    def readings_root(self, readings: Sequence[Reading], capacity: int) -> bytes:
        """32 bytes. Raises InvalidInput W3B-1001."""

    def reading_path(self, readings: Sequence[Reading], capacity: int, index: int) -> tuple[bytes, ...]:
        """Siblings for an inclusion receipt. Raises InvalidInput W3B-1001."""

    def reading_leaf(self, reading: Reading) -> bytes:
        """The reading's leaf, 32 bytes."""

    def verify_path(self, root: bytes, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
        """Whether the leaf is at the index of the tree with that root."""


@dataclass(frozen=True)
class PoseidonBn254V1:
    """`poseidon-bn254-v1`: binary trees of P2, the one that BN254 circuits read."""

    name: str = "poseidon-bn254-v1"
    device_set_root = staticmethod(device_set_root)
    order_readings = staticmethod(order_readings)
    readings_root = staticmethod(readings_root)
    reading_path = staticmethod(reading_path)
    reading_leaf = staticmethod(reading_leaf)
    verify_path = staticmethod(verify_path)


POSEIDON_BN254_V1 = PoseidonBn254V1()
SCHEMES: dict[str, CommitmentScheme] = {POSEIDON_BN254_V1.name: POSEIDON_BN254_V1}
"""Every known scheme by name."""


def scheme(name: str) -> CommitmentScheme:
    """The scheme of a name. Raises InvalidInput W3B-2001 where there is none."""
    if name not in SCHEMES:
        raise InvalidInput(
            "W3B-2001", f"commitment scheme {name!r} is unknown; known: {sorted(SCHEMES)}", field="commitment"
        )
    return SCHEMES[name]
