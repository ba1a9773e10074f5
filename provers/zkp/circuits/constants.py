"""Writes the circuits' constants as circom functions, from the same Python that verifies off chain.

`poseidon_constants.circom` has the sparse form of verifier/poseidon.py; `curve_constants.circom` has the multiples of
B8 and of the point T of order 8 that eddsa.circom's header explains. build.py writes both; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from verifier import babyjubjub as curve
from verifier.field import R, inverse
from verifier.poseidon import PARTIAL_ROUNDS, sparse_parameters

POSEIDON_WIDTHS = (3, 4, 6)
"""The t that our circuits hash with: 2, 3 and 5 inputs."""
WINDOWS = 84
"""Signed base-8 digits that hold every scalar below l: 8^84 > l."""

Nested = int | Sequence["Nested"]


def _literal(value: Nested) -> str:
    if isinstance(value, int):
        return str(value % R)
    return "[" + ", ".join(_literal(part) for part in value) + "]"


def _by_width(name: str, rows: Callable[[int], Nested]) -> str:
    cases = [f"    if (t == {t}) {{\n        return {_literal(rows(t))};\n    }}" for t in POSEIDON_WIDTHS[:-1]]
    last = f"    return {_literal(rows(POSEIDON_WIDTHS[-1]))};"
    return f"function {name}(t) {{\n" + "\n".join([*cases, last]) + "\n}\n"


HEAD = "pragma circom 2.1.6;\n\n// Written by provers/zkp/circuits/constants.py; do not edit.\n\n"


def poseidon_source() -> str:
    """Text of poseidon_constants.circom."""
    widths = ", ".join(str(t) for t in POSEIDON_WIDTHS)
    return "\n".join(
        [
            HEAD + f"// t is one of {widths}.",
            _by_width("POSEIDON_PARTIAL_ROUNDS", lambda t: PARTIAL_ROUNDS[t]),
            _by_width("POSEIDON_MATRIX", lambda t: sparse_parameters(t).matrix),
            _by_width("POSEIDON_ENTRY", lambda t: sparse_parameters(t).entry),
            _by_width("POSEIDON_CONSTANTS", lambda t: sparse_parameters(t).first + sparse_parameters(t).last),
            _by_width("POSEIDON_SCALARS", lambda t: sparse_parameters(t).scalars),
            _by_width("POSEIDON_ROWS", lambda t: sparse_parameters(t).rows),
            _by_width("POSEIDON_COLUMNS", lambda t: sparse_parameters(t).columns),
        ]
    )


def point_of_order_8() -> curve.Affine:
    """T: l times the point of the smallest y, from 2 on and with x <= r/2, whose l-fold has order 8."""
    y = 2
    while True:
        try:
            point = curve.decompress(y.to_bytes(32, "little"))
        except ValueError:
            point = curve.IDENTITY
        torsion = curve.multiply(point, curve.L)
        if curve.multiply(torsion, 4) == (0, R - 1):
            return torsion
        y += 1


def torsion_points() -> list[curve.Affine]:
    """0, T, 2T, .., 7T in Edwards form."""
    t = point_of_order_8()
    multiples = [curve.IDENTITY]
    for _ in range(7):
        multiples.append(curve.add(multiples[-1], t))
    return multiples


def montgomery(point: curve.Affine) -> tuple[int, int]:
    """(u, v) of a point that is neither the identity nor of order 2 (EIP-2494's birational map; B = 1)."""
    x, y = point
    u = (1 + y) * inverse((1 - y) % R) % R
    return u, u * inverse(x) % R


def _base_table() -> list[list[list[int]]]:
    """For each window k: the u and v of (2j + 1) * 8^k * B8 + 4T, j = 0..3, as c0 + c1*e0 + c2*e1 + c3*e0*e1."""
    table = []
    start = curve.B8
    for _ in range(WINDOWS):
        twice = curve.double(start)
        odd = [start]
        for _ in range(3):
            odd.append(curve.add(odd[-1], twice))
        points = [montgomery(curve.add(point, (0, R - 1))) for point in odd]
        columns = []
        for axis in range(2):
            w = [point[axis] for point in points]
            columns.append([w[0], w[1] - w[0], w[2] - w[0], w[3] - w[2] - w[1] + w[0]])
        table.append(columns)
        start = curve.add(odd[-1], start)
    return table


def curve_source() -> str:
    """Text of curve_constants.circom."""
    torsion = torsion_points()
    functions = (
        ("CURVE_SHIFTS", "T and 2T in Edwards form.", torsion[1:3]),
        ("CURVE_TORSION", "3T and 5T in Edwards form.", [torsion[3], torsion[5]]),
        (
            "CURVE_BASE_TABLE",
            "u and v of (2j + 1) * 8^k * B8 + 4T, j = e0 + 2*e1, as coefficients of 1, e0, e1 and e0*e1.",
            _base_table(),
        ),
    )
    text = [f"// {note}\nfunction {name}() {{\n    return {_literal(rows)};\n}}\n" for name, note, rows in functions]
    return HEAD + "\n".join(text)
