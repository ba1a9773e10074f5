"""Baby Jubjub (EIP-2494) and EdDSA with Poseidon over it, docs/reference/encodings.md §1.2.

a is a square and d is not, so the projective addition law (Bernstein, Birkner, Joye, Lange, Peters, AFRICACRYPT 2008,
§6) is complete: no pair of points is an exception. Not constant-time: keys here sign on a device owner's own machine.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

from verifier.field import R, inverse, square_root
from verifier.poseidon import poseidon

A = 168700
D = 168696
L = 2736030358979909402780800718157159386076813972158567259200215660948447373041
"""Order of the prime-order subgroup; the curve has 8 * L points."""
COFACTOR = 8
B8 = (
    5299619240641551281634865583518297030282874472190772894086521144482721001553,
    16950150798460657717958625567821834550301663161624707787222815936182638968203,
)
"""EIP-2494's base point of order L, affine (x, y)."""

Affine = tuple[int, int]
Projective = tuple[int, int, int]
IDENTITY: Affine = (0, 1)
_O: Projective = (0, 1, 1)
_WINDOW = 4


def on_curve(point: Affine) -> bool:
    """Whether a*x^2 + y^2 = 1 + d*x^2*y^2, both coordinates in [0, r)."""
    x, y = point
    if not (0 <= x < R and 0 <= y < R):
        return False
    xx, yy = x * x % R, y * y % R
    return (A * xx + yy - 1 - D * xx * yy) % R == 0


def _double(p: Projective) -> Projective:
    x, y, z = p
    s = x + y
    c, d = x * x, y * y
    e = A * c
    f = (e + d) % R
    j = (f - 2 * z * z) % R
    return (s * s - c - d) % R * j % R, f * ((e - d) % R) % R, f * j % R


def _add(p: Projective, q: Projective) -> Projective:
    x1, y1, z1 = p
    x2, y2, z2 = q
    a = z1 * z2 % R
    b = a * a
    c, d = x1 * x2 % R, y1 * y2 % R
    e = D * c * d
    f, g = (b - e) % R, (b + e) % R
    cross = ((x1 + y1) * (x2 + y2) - c - d) % R
    return a * f % R * cross % R, a * g % R * ((d - A * c) % R) % R, f * g % R


def _affine(p: Projective) -> Affine:
    scale = inverse(p[2])
    return p[0] * scale % R, p[1] * scale % R


def _negate(p: Projective) -> Projective:
    return -p[0] % R, p[1], p[2]


def _multiply(p: Projective, scalar: int) -> Projective:
    """scalar * p for scalar >= 0, by signed odd digits of width 5: eight multiples kept, one addition in six bits."""
    doubled = _double(p)
    odd = [p]
    for _ in range(7):
        odd.append(_add(odd[-1], doubled))
    digits = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & 31
            digit -= 32 if digit >= 16 else 0
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    total = _O
    for digit in reversed(digits):
        total = _double(total)
        if digit:
            entry = odd[abs(digit) >> 1]
            total = _add(total, entry if digit > 0 else _negate(entry))
    return total


@cache
def _base_table() -> tuple[tuple[Projective, ...], ...]:
    """Multiples 0..15 of 16^i * B8, i = 0..62."""
    table = []
    start: Projective = (*B8, 1)
    for _ in range(63):
        row = [_O]
        for _ in range(15):
            row.append(_add(row[-1], start))
        table.append(tuple((*_affine(p), 1) for p in row))
        start = _add(row[-1], start)
    return tuple(table)


def _multiply_base(scalar: int) -> Projective:
    total = _O
    for row in _base_table():
        digit = scalar & 15
        if digit:
            total = _add(total, row[digit])
        scalar >>= _WINDOW
    return total


def add(p: Affine, q: Affine) -> Affine:
    """The sum of two points on the curve."""
    return _affine(_add((*p, 1), (*q, 1)))


def double(p: Affine) -> Affine:
    """Twice a point on the curve."""
    return _affine(_double((*p, 1)))


def negate(p: Affine) -> Affine:
    """The inverse of a point."""
    return -p[0] % R, p[1]


def multiply(point: Affine, scalar: int) -> Affine:
    """`scalar` times a point on the curve, scalar >= 0 and not reduced (the point may be of any order)."""
    return _affine(_multiply((*point, 1), scalar))


def multiply_base(scalar: int) -> Affine:
    """`scalar` times B8; the scalar is taken modulo L."""
    return _affine(_multiply_base(scalar % L))


@lru_cache(maxsize=4096)
def in_subgroup(point: Affine) -> bool:
    """Whether the point is on the curve and L times it is the identity."""
    return on_curve(point) and multiply(point, L) == IDENTITY


def compress(point: Affine) -> bytes:
    """EIP-2494: y little-endian in 32 bytes, the top bit set when x > r/2."""
    x, y = point
    return (y | (1 << 255 if x > R // 2 else 0)).to_bytes(32, "little")


def decompress(data: bytes) -> Affine:
    """The point that `compress` wrote. Raises ValueError for any 32 bytes that `compress` would not write."""
    if len(data) != 32:
        raise ValueError(f"a compressed point has 32 bytes, not {len(data)}")
    number = int.from_bytes(data, "little")
    negative, y = number >> 255, number & ((1 << 255) - 1)
    if y >= R:
        raise ValueError("the y coordinate is not below the field's order")
    yy = y * y % R
    # x^2 = (1 - y^2) / (a - d*y^2); the denominator is never 0 because a/d is not a square.
    x = square_root((1 - yy) * inverse(A - D * yy) % R)
    if x is None:
        raise ValueError("no point of the curve has this y coordinate")
    if negative and x == 0:
        raise ValueError("the sign bit is set for x = 0")
    return (R - x if negative else x), y


def _secrets(private_key: bytes) -> tuple[int, bytes]:
    """The scalar k in [1, L) and the nonce key, from 32 bytes of secret (RFC 8032's idea, with two labels)."""
    if len(private_key) != 32:
        raise ValueError(f"a private key has 32 bytes, not {len(private_key)}")
    digest = hashlib.sha512(b"W3bstream babyjubjub key v1" + private_key).digest()
    # 512 bits reduced modulo a 251-bit number leave no bias that anyone can see; the two labels keep the secrets apart.
    scalar = int.from_bytes(digest, "big") % (L - 1) + 1
    return scalar, hashlib.sha512(b"W3bstream babyjubjub nonce v1" + private_key).digest()


def public_key(private_key: bytes) -> bytes:
    """The public key x ‖ y, 64 bytes, of 32 bytes of secret. Raises ValueError for another length."""
    x, y = multiply_base(_secrets(private_key)[0])
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def challenge(r8: Affine, a: Affine, m: int) -> int:
    """h = P5(R8.x, R8.y, A.x, A.y, m)."""
    return poseidon((*r8, *a, m))


def sign(private_key: bytes, m: int) -> bytes:
    """Sign the field element `m`: compressed R8 ‖ S little-endian, 64 bytes. Raises ValueError for a bad key or m."""
    if not 0 <= m < R:
        raise ValueError("the message must be a field element in [0, r)")
    scalar, nonce_key = _secrets(private_key)
    nonce = int.from_bytes(hashlib.sha512(nonce_key + m.to_bytes(32, "big")).digest(), "big") % L
    r8 = multiply_base(nonce)
    h = challenge(r8, multiply_base(scalar), m)
    s = (nonce + COFACTOR * h * scalar) % L
    return compress(r8) + s.to_bytes(32, "little")


def decode_public_key(data: bytes) -> Affine | None:
    """x ‖ y as a point of order L, or None (wrong length, not on the curve, another order, the identity)."""
    if len(data) != 64:
        return None
    point = (int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))
    return point if point != IDENTITY and in_subgroup(point) else None


def decode_signature(signature: bytes) -> tuple[Affine, int] | None:
    """(R8, S), or None when the 64 bytes are not canonical (R8 no compressed point, S >= L)."""
    if len(signature) != 64:
        return None
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return None
    try:
        return decompress(signature[:32]), s
    except ValueError:
        return None


def verify(public_key: bytes, m: int, signature: bytes) -> bool:
    """Whether `signature` (64 bytes, canonical) signs the field element `m` for `public_key` (64 bytes x ‖ y).

    S*B8 = R8 + 8*h*A, without a cofactor. A is in the prime-order subgroup, hence so is every accepted R8.
    """
    key, parts = decode_public_key(public_key), decode_signature(signature)
    if key is None or parts is None or not 0 <= m < R:
        return False
    r8, s = parts
    h = challenge(r8, key, m)
    left = _add(_multiply_base(s), _negate(_multiply((*key, 1), COFACTOR * h % L)))
    x, y, z = left
    return (x - r8[0] * z) % R == 0 and (y - r8[1] * z) % R == 0
