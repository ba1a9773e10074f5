"""BLS12-381 points from ZCash's compressed form to EIP-2537's, which the contract takes at registration.

Whether a point is in the subgroup is not checked here: the precompile does.
"""

from __future__ import annotations

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
"""The base field's modulus."""

Fp2 = tuple[int, int]
"""c0 + c1 · u with u² = -1."""


class PointInvalid(ValueError):
    """Bytes that are no compressed point of the curve, or infinity."""


def key_point(compressed: bytes) -> bytes:
    """A public key, 48 bytes, as a point of G1, 128 bytes. Raises PointInvalid."""
    larger, (x,) = _parse(compressed, 1)
    y = pow(x**3 + 4, (P + 1) // 4, P)
    if y * y % P != (x**3 + 4) % P:
        raise PointInvalid(f"0x{compressed.hex()} is not on the curve")
    if (2 * y > P) != larger:
        y = P - y
    return _encode(x) + _encode(y)


def signature_point(compressed: bytes) -> bytes:
    """A signature, 96 bytes, as a point of G2, 256 bytes. Raises PointInvalid."""
    larger, (x1, x0) = _parse(compressed, 2)
    x = (x0, x1)
    cubed = _multiply(x, _multiply(x, x))
    square = ((cubed[0] + 4) % P, (cubed[1] + 4) % P)
    y = _square_root(square)
    if y is None:
        raise PointInvalid(f"0x{compressed.hex()} is not on the curve")
    # The larger of y and -y is so by its imaginary part, or by the real one where that is zero.
    if (2 * (y[1] or y[0]) > P) != larger:
        y = (-y[0] % P, -y[1] % P)
    return b"".join(map(_encode, (*x, *y)))


def _parse(compressed: bytes, coordinates: int) -> tuple[bool, list[int]]:
    if len(compressed) != 48 * coordinates:
        raise PointInvalid(f"{len(compressed)} bytes; a compressed point has {48 * coordinates}")
    flags = compressed[0] >> 5
    if flags not in (0b100, 0b101):
        raise PointInvalid(f"0x{compressed.hex()} is infinity or not compressed")
    plain = bytes([compressed[0] & 0x1F]) + compressed[1:]
    numbers = [int.from_bytes(plain[at : at + 48], "big") for at in range(0, len(plain), 48)]
    if max(numbers) >= P:
        raise PointInvalid(f"0x{compressed.hex()} has a coordinate not below the modulus")
    return flags == 0b101, numbers


def _multiply(a: Fp2, b: Fp2) -> Fp2:
    return ((a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P)


def _power(a: Fp2, exponent: int) -> Fp2:
    result = (1, 0)
    while exponent:
        if exponent & 1:
            result = _multiply(result, a)
        a = _multiply(a, a)
        exponent >>= 1
    return result


def _square_root(a: Fp2) -> Fp2 | None:
    """A square root for p = 3 mod 4 (Adj and Rodriguez-Henriquez, eprint 2012/685, algorithm 9)."""
    a1 = _power(a, (P - 3) // 4)
    x0 = _multiply(a1, a)
    alpha = _multiply(a1, x0)
    if alpha == (P - 1, 0):
        root: Fp2 = (-x0[1] % P, x0[0])
    else:
        root = _multiply(_power((alpha[0] + 1, alpha[1]), (P - 1) // 2), x0)
    return root if _multiply(root, root) == a else None


def _encode(coordinate: int) -> bytes:
    return coordinate.to_bytes(64, "big")
