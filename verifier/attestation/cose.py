"""COSE_Sign1 (RFC 9052 §4.2) with ES256 and ES384 (RFC 9053 §2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from verifier.attestation import cbor
from verifier.attestation.evidence import malformed, refused, unknown_version

SIGN1_TAG = 18
_ALGORITHM, _CRITICAL = 1, 2
_CURVES: dict[int, tuple[int, type[ec.SECP256R1] | type[ec.SECP384R1], type[hashes.SHA256] | type[hashes.SHA384]]] = {
    -7: (32, ec.SECP256R1, hashes.SHA256),
    -35: (48, ec.SECP384R1, hashes.SHA384),
}
"""Bytes of a coordinate, curve and hash by algorithm."""


@dataclass(frozen=True)
class Sign1:
    """A message whose signature is not checked yet."""

    protected: bytes
    algorithm: int
    """-7 or -35."""
    payload: bytes
    signature: bytes
    """r and s, big-endian, each as long as a coordinate."""


def parse(data: bytes, where: str) -> Sign1:
    """Read a tagged COSE_Sign1 with an empty unprotected header.

    Raises InvalidInput: W3B-9101, W3B-9102 for an algorithm that is neither ES256 nor ES384.
    """
    message = cbor.decode(data, where)
    if not isinstance(message, cbor.Tagged) or message.tag != SIGN1_TAG:
        raise malformed(where, "is no COSE_Sign1 (tag 18)")
    parts = message.value
    if not isinstance(parts, list) or len(parts) != 4:
        raise malformed(where, "is no COSE_Sign1: not an array of four")
    protected, unprotected, payload, signature = parts
    if not all(isinstance(each, bytes) for each in (protected, payload, signature)):
        raise malformed(where, "has a protected header, payload or signature that is no byte string")
    if unprotected != {} or not isinstance(unprotected, dict):
        raise malformed(f"{where}.unprotected", "is not empty: nothing vouches for what stands there")
    header = cbor.decode(protected, f"{where}.protected")
    if not isinstance(header, dict) or _CRITICAL in header:
        raise malformed(f"{where}.protected", "is no map, or has critical parameters")
    algorithm = header.get(_ALGORITHM)
    if type(algorithm) is not int or algorithm not in _CURVES:
        raise unknown_version(
            f"{where}.protected.alg", f"is {str(algorithm)[:40]}; -7 (ES256) and -35 (ES384) are known"
        )
    if len(signature) != 2 * _CURVES[algorithm][0]:
        raise malformed(f"{where}.signature", f"has {len(signature)} bytes, not {2 * _CURVES[algorithm][0]}")
    return Sign1(protected, algorithm, payload, signature)


def check(message: Sign1, point: bytes, where: str) -> None:
    """Check the signature under a public key, an uncompressed SEC1 point.

    Raises Refused (W3B-9106) where it does not hold or the key is not on the algorithm's curve.
    """
    size, curve, digest = _CURVES[message.algorithm]
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve(), point)
    except ValueError as error:
        raise refused("W3B-9106", f"{where}.key", f"is no point of {curve.name}") from error
    structure = b"\x84\x6aSignature1" + cbor.bstr(message.protected) + b"\x40" + cbor.bstr(message.payload)
    r, s = (int.from_bytes(message.signature[at : at + size], "big") for at in (0, size))
    try:
        key.verify(encode_dss_signature(r, s), structure, ec.ECDSA(digest()))
    except InvalidSignature as error:
        raise refused("W3B-9106", f"{where}.signature", "does not verify") from error
