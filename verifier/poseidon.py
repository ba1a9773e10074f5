"""Poseidon over BN254 (Grassi, Khovratovich, Rechberger, Roy, Schofnegger, USENIX Security 2021), alpha 5.

128-bit security. State of t = inputs + 1 elements, the capacity element first and zero; R_F = 8; the hash is the first
element after the permutation. Round constants and the Cauchy matrix come from the paper's Grain LFSR (appendix E and
F), so they are those that circomlib uses. Partial rounds run in the paper's equivalent form with sparse matrices
(appendix B): 2t - 1 products a round in place of t*t, and linear combinations that a circuit can afford.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from verifier.field import R, inverse

FULL_ROUNDS = 8
PARTIAL_ROUNDS = {
    2: 56, 3: 57, 4: 56, 5: 60, 6: 60, 7: 63, 8: 64, 9: 63,
    10: 60, 11: 66, 12: 60, 13: 65, 14: 70, 15: 60, 16: 64, 17: 68,
}  # fmt: skip
"""R_P by t, from the paper's table for BN254."""

FIELD_BITS = 254

Vector = tuple[int, ...]
Matrix = tuple[Vector, ...]


def _grain(t: int, partial_rounds: int) -> Iterator[int]:
    """Bits of the Grain LFSR in self-shrinking mode (paper, appendix E): field 1 = prime, S-box 0 = x^alpha."""
    bits: list[int] = []
    for value, width in (
        (1, 2),
        (0, 4),
        (FIELD_BITS, 12),
        (t, 12),
        (FULL_ROUNDS, 10),
        (partial_rounds, 10),
        ((1 << 30) - 1, 30),
    ):
        bits += [value >> (width - 1 - i) & 1 for i in range(width)]

    def step() -> int:
        bit = bits[62] ^ bits[51] ^ bits[38] ^ bits[23] ^ bits[13] ^ bits[0]
        bits.pop(0)
        bits.append(bit)
        return bit

    for _ in range(160):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit


@dataclass(frozen=True)
class Parameters:
    """The permutation of one width, as the paper generates it."""

    t: int
    """State width in field elements."""
    partial_rounds: int
    """R_P."""
    constants: Matrix
    """One row of t constants a round, R_F + R_P rows."""
    matrix: Matrix
    """The MDS matrix, t x t: new[i] = sum of matrix[i][j] * old[j]."""


@cache
def parameters(t: int) -> Parameters:
    """Round constants and MDS matrix of width `t`, 2 to 17. Raises ValueError for another width."""
    if t not in PARTIAL_ROUNDS:
        raise ValueError(f"Poseidon takes 1 to 16 inputs, not {t - 1}")
    partial_rounds = PARTIAL_ROUNDS[t]
    stream = _grain(t, partial_rounds)

    def number() -> int:
        value = 0
        for _ in range(FIELD_BITS):
            value = value << 1 | next(stream)
        return value

    def constant() -> int:
        while (value := number()) >= R:
            pass
        return value

    constants = tuple(tuple(constant() for _ in range(t)) for _ in range(FULL_ROUNDS + partial_rounds))
    while True:
        points = [number() % R for _ in range(2 * t)]
        if len(set(points)) == 2 * t and all((x + y) % R for x in points[:t] for y in points[t:]):
            break
    matrix = tuple(tuple(inverse(x + y) for y in points[t:]) for x in points[:t])
    return Parameters(t, partial_rounds, constants, matrix)


@dataclass(frozen=True)
class SparseParameters:
    """The same permutation with sparse partial rounds (paper, appendix B).

    First half of the full rounds: add `first[i]`, S-box on all, times `matrix`; the last of them times `entry` instead.
    Partial round k: add `scalars[k]` to element 0, S-box on it, then new[0] = sum of `rows[k][j]` * old[j] and
    new[i] = `columns[k][i - 1]` * old[0] + old[i]. Second half: add `last[i]`, S-box on all, times `matrix`.
    """

    t: int
    matrix: Matrix
    entry: Matrix
    first: Matrix
    scalars: Vector
    rows: Matrix
    columns: Matrix
    last: Matrix


def _times(left: Matrix, right: Matrix) -> Matrix:
    columns = tuple(zip(*right, strict=True))
    return tuple(tuple(sum(a * b for a, b in zip(row, column, strict=True)) % R for column in columns) for row in left)


def _inverse_matrix(matrix: Matrix) -> Matrix:
    """Gauss-Jordan modulo R; the matrix is invertible because every square part of a Cauchy matrix is."""
    size = len(matrix)
    work = [list(row) + [int(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(k for k in range(i, size) if work[k][i])
        work[i], work[pivot] = work[pivot], work[i]
        scale = inverse(work[i][i])
        work[i] = [value * scale % R for value in work[i]]
        for k in range(size):
            if k != i and work[k][i]:
                factor = work[k][i]
                work[k] = [(a - factor * b) % R for a, b in zip(work[k], work[i], strict=True)]
    return tuple(tuple(row[size:]) for row in work)


@cache
def sparse_parameters(t: int) -> SparseParameters:
    """The equivalent sparse form of width `t`, 2 to 17. Raises ValueError for another width."""
    dense = parameters(t)
    half = FULL_ROUNDS // 2
    constants = [list(row) for row in dense.constants]
    scalars = []
    # Elements 1.. pass a partial S-box unchanged, so their constants move through the matrix into the next round.
    for k in range(half, half + dense.partial_rounds):
        scalars.append(constants[k][0])
        for i in range(t):
            carried = sum(dense.matrix[i][j] * constants[k][j] for j in range(1, t))
            constants[k + 1][i] = (constants[k + 1][i] + carried) % R
    rows: list[Vector] = []
    columns: list[Vector] = []
    # M = S * diag(1, M^), and diag(1, M^) commutes with the S-box of element 0: walk back, leaving S in each round.
    matrix = dense.matrix
    for _ in range(dense.partial_rounds):
        hat = tuple(row[1:] for row in matrix[1:])
        row = _times((matrix[0][1:],), _inverse_matrix(hat))[0]
        rows.append((matrix[0][0], *row))
        columns.append(tuple(line[0] for line in matrix[1:]))
        block = ((1, *(0,) * (t - 1)), *((0, *line) for line in hat))
        matrix = _times(block, dense.matrix)
    rows.reverse()
    columns.reverse()
    return SparseParameters(
        t,
        dense.matrix,
        matrix,
        tuple(tuple(row) for row in constants[:half]),
        tuple(scalars),
        tuple(rows),
        tuple(columns),
        tuple(tuple(row) for row in constants[half + dense.partial_rounds :]),
    )


def _full_round(state: list[int], constants: Vector, matrix: Matrix) -> list[int]:
    boxed = [pow(value + constant, 5, R) for value, constant in zip(state, constants, strict=True)]
    return [sum(map(int.__mul__, row, boxed)) % R for row in matrix]


def permute(state: Sequence[int]) -> list[int]:
    """The Poseidon permutation of a state of 2 to 17 field elements. Raises ValueError for another width."""
    p = sparse_parameters(len(state))
    values = list(state)
    for constants in p.first[:-1]:
        values = _full_round(values, constants, p.matrix)
    values = _full_round(values, p.first[-1], p.entry)
    for scalar, row, column in zip(p.scalars, p.rows, p.columns, strict=True):
        boxed = values[0] = pow(values[0] + scalar, 5, R)
        head = sum(map(int.__mul__, row, values)) % R
        values = [head, *((boxed * c + v) % R for c, v in zip(column, values[1:], strict=True))]
    for constants in p.last:
        values = _full_round(values, constants, p.matrix)
    return values


def permute_dense(state: Sequence[int]) -> list[int]:
    """The same permutation exactly as the paper writes it; slower, kept as the definition that tests compare with."""
    p = parameters(len(state))
    values = list(state)
    half = FULL_ROUNDS // 2
    for k, constants in enumerate(p.constants):
        values = [(value + constant) % R for value, constant in zip(values, constants, strict=True)]
        full = k < half or k >= half + p.partial_rounds
        values = [pow(value, 5, R) if full or i == 0 else value for i, value in enumerate(values)]
        values = [sum(a * b for a, b in zip(row, values, strict=True)) % R for row in p.matrix]
    return values


def poseidon(inputs: Sequence[int]) -> int:
    """Hash 1 to 16 field elements to one. Raises ValueError for another count or a value outside [0, R)."""
    if any(not 0 <= value < R for value in inputs):
        raise ValueError("every Poseidon input must be a field element in [0, r)")
    return permute((0, *inputs))[0]
