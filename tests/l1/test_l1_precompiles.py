"""The precompiles that our verifiers need, on vectors from py_ecc and cryptography, through eth_call."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from hexbytes import HexBytes
from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn
from web3 import Web3

SCALAR = 123_456_789


def word(value: object, size: int = 32) -> bytes:
    return int(value).to_bytes(size, "big")


def execute(web3: Web3, address: int, data: bytes) -> bytes:
    to = Web3.to_checksum_address(f"0x{address:040x}")
    return bytes(web3.eth.call({"to": to, "data": HexBytes(data)}))


def bn_g1(point: object) -> bytes:
    return b"".join(word(c) for c in bn.normalize(point))


def bn_g2(point: object) -> bytes:
    """EIP-197: the imaginary part first."""
    return b"".join(word(part) for c in bn.normalize(point) for part in reversed(c.coeffs))


def bls_g1(point: object) -> bytes:
    return b"".join(word(c, 64) for c in bls.normalize(point))


def bls_g2(point: object) -> bytes:
    """EIP-2537: the real part first."""
    return b"".join(word(part, 64) for c in bls.normalize(point) for part in c.coeffs)


def bn_pairs(scalar: int) -> bytes:
    """e(scalar·P, Q)·e(-P, SCALAR·Q), which is one only for scalar = SCALAR."""
    left = bn_g1(bn.multiply(bn.G1, scalar)) + bn_g2(bn.G2)
    return left + bn_g1(bn.neg(bn.G1)) + bn_g2(bn.multiply(bn.G2, SCALAR))


def bls_pairs(scalar: int) -> bytes:
    left = bls_g1(bls.multiply(bls.G1, scalar)) + bls_g2(bls.G2)
    return left + bls_g1(bls.neg(bls.G1)) + bls_g2(bls.multiply(bls.G2, SCALAR))


def p256() -> bytes:
    secret = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
    digest = hashlib.sha256(b"w3bstream").digest()
    r, s = decode_dss_signature(secret.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    public = secret.public_key().public_numbers()
    return digest + word(r) + word(s) + word(public.x) + word(public.y)


P256 = p256()
VECTORS: list[tuple[str, int, bytes, bytes]] = [
    ("ECADD", 0x06, bn_g1(bn.G1) + bn_g1(bn.double(bn.G1)), bn_g1(bn.multiply(bn.G1, 3))),
    ("ECMUL", 0x07, bn_g1(bn.G1) + word(SCALAR), bn_g1(bn.multiply(bn.G1, SCALAR))),
    ("ECPAIRING true", 0x08, bn_pairs(SCALAR), word(1)),
    ("ECPAIRING false", 0x08, bn_pairs(SCALAR + 1), word(0)),
    ("BLS12_G1ADD", 0x0B, bls_g1(bls.G1) * 2, bls_g1(bls.double(bls.G1))),
    ("BLS12_G1MSM", 0x0C, bls_g1(bls.G1) + word(7), bls_g1(bls.multiply(bls.G1, 7))),
    ("BLS12_G2ADD", 0x0D, bls_g2(bls.G2) * 2, bls_g2(bls.double(bls.G2))),
    ("BLS12_G2MSM", 0x0E, bls_g2(bls.G2) + word(7), bls_g2(bls.multiply(bls.G2, 7))),
    ("BLS12_PAIRING true", 0x0F, bls_pairs(SCALAR), word(1)),
    ("BLS12_PAIRING false", 0x0F, bls_pairs(SCALAR + 1), word(0)),
    ("P256VERIFY", 0x100, P256, word(1)),
    ("P256VERIFY another message", 0x100, bytes([P256[0] ^ 1]) + P256[1:], b""),
    ("P256VERIFY another key", 0x100, P256[:-1] + bytes([P256[-1] ^ 1]), b""),
]
INVALID: list[tuple[str, int, bytes]] = [
    ("ECADD off the curve", 0x06, word(1) + word(3) + bn_g1(bn.G1)),
    ("ECPAIRING cut short", 0x08, bn_pairs(SCALAR)[:-1]),
    ("BLS12_G1ADD off the curve", 0x0B, bls_g1(bls.G1) + word(1, 64) + word(1, 64)),
    ("BLS12_PAIRING cut short", 0x0F, bls_pairs(SCALAR)[:-1]),
]


@pytest.mark.parametrize(("address", "data", "want"), [v[1:] for v in VECTORS], ids=[v[0] for v in VECTORS])
def test_known_answer(web3: Web3, address: int, data: bytes, want: bytes) -> None:
    assert execute(web3, address, data) == want


@pytest.mark.parametrize(("address", "data"), [v[1:] for v in INVALID], ids=[v[0] for v in INVALID])
def test_invalid_input_fails(web3: Web3, address: int, data: bytes) -> None:
    with pytest.raises(Exception, match=r"PrecompileError|precompile|out of gas"):
        execute(web3, address, data)


def test_map_to_curve_lands_on_the_curve_in_the_subgroup(web3: Web3) -> None:
    """The maps' outputs are points that G1ADD and the pairing accept (EIP-2537 maps clear the cofactor)."""
    point = execute(web3, 0x10, word(5, 64))
    twisted = execute(web3, 0x11, word(5, 64) + word(6, 64))
    x, y = (int.from_bytes(point[i : i + 64], "big") for i in (0, 64))
    assert (y * y - x**3 - 4) % bls.field_modulus == 0
    pair = bytes(point) + bytes(twisted) + bytes(point[:64]) + word(bls.field_modulus - y, 64) + bytes(twisted)
    assert execute(web3, 0x0F, pair) == word(1)
