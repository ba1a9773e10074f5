"""A reader and evaluator of iden3's binary r1cs format, for tests: which constraints does a witness break?"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from verifier.field import R

Side = tuple[tuple[int, ...], tuple[int, ...]]
"""A linear combination: wires and their coefficients."""


@dataclass(frozen=True)
class R1cs:
    """Constraints A * B = C over wires 0.. (wire 0 is 1; then outputs, public inputs, private wires)."""

    wires: int
    outputs: int
    inputs: int
    """Public, then private."""
    constraints: list[tuple[Side, Side, Side]]

    def violated(self, witness: Sequence[int], *, reading: int | None = None) -> list[int]:
        """Indices of the constraints that the witness breaks, among all or those that read one wire."""
        assert len(witness) == self.wires
        assert witness[0] == 1
        return [
            i
            for i, (a, b, c) in enumerate(self.constraints)
            if reading is None or any(reading in side[0] for side in (a, b, c))
            if (_dot(a, witness) * _dot(b, witness) - _dot(c, witness)) % R
        ]

    def wires_of(self, constraint: int) -> set[int]:
        """The wires that a constraint reads."""
        return {wire for side in self.constraints[constraint] for wire in side[0]}

    def free_wires(self, witness: Sequence[int], shift: int) -> list[int]:
        """Wires that can move by `shift` alone without breaking a constraint; the witness must satisfy all of them."""
        pinned = bytearray(self.wires)
        pinned[0] = 1
        for sides in self.constraints:
            a, b, c = (_dot(side, witness) for side in sides)
            slopes = [dict(zip(*side, strict=True)) for side in sides]
            for wire in set().union(*slopes):
                if not pinned[wire]:
                    moved = [value + shift * slope.get(wire, 0) for value, slope in zip((a, b, c), slopes, strict=True)]
                    pinned[wire] = (moved[0] * moved[1] - moved[2]) % R != 0
        return [wire for wire in range(self.wires) if not pinned[wire]]


def _dot(side: Side, witness: Sequence[int]) -> int:
    wires, coefficients = side
    return sum(map(int.__mul__, coefficients, map(witness.__getitem__, wires))) % R


def read_r1cs(data: bytes) -> R1cs:
    """Parse the header and the constraints."""
    assert data[:4] == b"r1cs"
    sections = {}
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<IQ", data, at)
        sections[kind] = at + 12
        at += 12 + size
    at = sections[1]
    assert struct.unpack_from("<I", data, at) == (32,)
    assert int.from_bytes(data[at + 4 : at + 36], "little") == R
    wires, outputs, public, private, _, count = struct.unpack_from("<IIIIQI", data, at + 36)
    known: dict[bytes, int] = {}
    at = sections[2]
    constraints = []
    for _ in range(count):
        sides = []
        for _ in range(3):
            (terms,) = struct.unpack_from("<I", data, at)
            at += 4
            row, coefficients = [], []
            for wire, raw in struct.iter_unpack("<I32s", data[at : at + 36 * terms]):
                row.append(wire)
                coefficients.append(known.get(raw) or known.setdefault(raw, int.from_bytes(raw, "little")))
            at += 36 * terms
            sides.append((tuple(row), tuple(coefficients)))
        constraints.append((sides[0], sides[1], sides[2]))
    return R1cs(wires, outputs, public + private, constraints)


def witness_values(data: bytes) -> list[int]:
    """A witness calculator's bytes, 32 a wire, little-endian, as integers."""
    return [int.from_bytes(data[at : at + 32], "little") for at in range(0, len(data), 32)]
