"""Signing COSE_Sign1 (RFC 9052 §4.2) with ES256 and ES384 (RFC 9053 §2.1), as CCA tokens and Nitro documents are."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provers.tee.simulation.cbor import encode

ES256, ES384 = -7, -35
"""Algorithms."""
_ALGORITHMS: dict[str, tuple[int, int, hashes.HashAlgorithm]] = {
    "secp256r1": (ES256, 32, hashes.SHA256()),
    "secp384r1": (ES384, 48, hashes.SHA384()),
}
"""Algorithm, bytes of a coordinate and hash by curve."""


def scalars(
    key: ec.EllipticCurvePrivateKey, message: bytes, digest: hashes.HashAlgorithm | None = None
) -> tuple[int, int]:
    """r and s of an ECDSA signature, with the hash of the key's curve where no other one is given."""
    return decode_dss_signature(key.sign(message, ec.ECDSA(digest or _ALGORITHMS[key.curve.name][2])))


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r and s, big-endian, each as long as a coordinate."""
    size = _ALGORITHMS[key.curve.name][1]
    return b"".join(each.to_bytes(size, "big") for each in scalars(key, message))


def sign1(key: ec.EllipticCurvePrivateKey, payload: bytes) -> list[Any]:
    """Protected header, unprotected header, payload and signature, to be encoded with tag 18 or without one."""
    protected = encode({1: _ALGORITHMS[key.curve.name][0]})
    signature = raw_signature(key, encode(["Signature1", protected, b"", payload]))
    return [protected, {}, payload, signature]
