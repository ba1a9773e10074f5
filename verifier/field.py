"""The BN254 scalar field, EIP-197's order r: the numbers of circuits, of Poseidon and of Baby Jubjub coordinates."""

from __future__ import annotations

R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of the BN254 groups; field elements are integers in [0, R)."""

TWO_ADICITY = 28
"""R - 1 is 2^28 times an odd number."""

NON_RESIDUE = 5
"""The smallest non-square; it generates the multiplicative group."""


def inverse(value: int) -> int:
    """The multiplicative inverse modulo R. Raises ValueError for 0."""
    return pow(value, -1, R)


def is_square(value: int) -> bool:
    """Whether `value` is a square modulo R (0 counts; Euler's criterion)."""
    return pow(value, (R - 1) // 2, R) <= 1


def square_root(value: int) -> int | None:
    """The square root that is at most R/2, or None when there is none (Tonelli-Shanks)."""
    value %= R
    if not is_square(value):
        return None
    odd = (R - 1) >> TWO_ADICITY
    generator = pow(NON_RESIDUE, odd, R)
    root, remainder, level = pow(value, (odd + 1) // 2, R), pow(value, odd, R), TWO_ADICITY
    while remainder not in (0, 1):
        order, probe = 0, remainder
        while probe != 1:
            probe, order = probe * probe % R, order + 1
        step = pow(generator, 1 << (level - order - 1), R)
        root, generator = root * step % R, step * step % R
        remainder, level = remainder * generator % R, order
    return min(root, R - root)


def to_bytes(value: int) -> bytes:
    """A field element as 32 bytes, big-endian. Raises ValueError when it is not in [0, R)."""
    if not 0 <= value < R:
        raise ValueError(f"{value} is not a BN254 field element")
    return value.to_bytes(32, "big")


def from_bytes(data: bytes) -> int:
    """32 big-endian bytes as a field element. Raises ValueError for another length or a value of R or more."""
    value = int.from_bytes(data, "big")
    if len(data) != 32 or value >= R:
        raise ValueError(f"{data.hex()} is not a BN254 field element of 32 bytes")
    return value
